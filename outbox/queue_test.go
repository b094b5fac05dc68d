package outbox_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// shop is a migrated database with a table of a service's own, and a writer.
func shop(t testing.TB) (writer, admin *pgx.Conn) {
	t.Helper()
	address := testservers.Migrated(t)
	admin = connect(t, address)
	_, err := admin.Exec(t.Context(), `CREATE TABLE public.orders (id text PRIMARY KEY); GRANT ALL ON public.orders TO tandem_writer`)
	require.NoError(t, err)
	return connect(t, asWriter(t, address)), admin
}

func orders(t testing.TB, admin *pgx.Conn) (n int) {
	t.Helper()
	require.NoError(t, admin.QueryRow(t.Context(), "SELECT count(*) FROM public.orders").Scan(&n))
	return n
}

func TestQueueWithBusinessStatements(t *testing.T) {
	t.Parallel()
	writer, admin := shop(t)
	batch := &pgx.Batch{}
	var added int64
	batch.Queue("INSERT INTO public.orders VALUES ($1), ($2)", "1", "2").Exec(func(ct pgconn.CommandTag) error {
		added = ct.RowsAffected()
		return nil
	})
	require.NoError(t, outbox.Queue(t.Context(), batch, outbox.Event{Topic: "orders", Key: "1"}, outbox.Event{Topic: "orders", Key: "2"}))
	batch.Queue("INSERT INTO public.orders VALUES ($1)", "3")
	require.NoError(t, outbox.Queue(t.Context(), batch, outbox.Event{Topic: "orders", Key: "3"}))
	tx := begin(t, writer)
	require.NoError(t, tx.SendBatch(t.Context(), batch).Close())
	require.NoError(t, tx.Commit(t.Context()))

	require.EqualValues(t, 2, added)
	require.Equal(t, 3, orders(t, admin))
	events := inLog(t, begin(t, admin))
	require.Len(t, events, 3)
	require.Equal(t, "3", *events[2].Key)
}

// Sent on a connection, the batch is one transaction, and one refusal undoes it.
func TestQueueRefusedByTheDatabase(t *testing.T) {
	t.Parallel()
	writer, admin := shop(t)
	large := outbox.Event{Topic: "orders", Payload: make([]byte, 900_001)}

	batch := &pgx.Batch{}
	batch.Queue("INSERT INTO public.orders VALUES ('1')")
	require.NoError(t, outbox.Queue(t.Context(), batch, outbox.Event{Topic: "orders"}, large))
	batch.Queue("INSERT INTO public.orders VALUES ('2')")
	err := writer.SendBatch(t.Context(), batch).Close()
	var invalid *outbox.InvalidEventError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, 1, invalid.Index)
	require.Equal(t, 900_000, invalid.Limit)
	require.Zero(t, orders(t, admin))

	// Read one by one, it is Postgres's own error.
	batch = &pgx.Batch{}
	require.NoError(t, outbox.Queue(t.Context(), batch, large))
	results := writer.SendBatch(t.Context(), batch)
	_, err = results.Exec()
	require.Equal(t, "TD001", sqlState(t, err))
	require.Error(t, results.Close())
}

// An earlier statement's failure is not taken for the events'.
func TestQueueAfterAnotherFailure(t *testing.T) {
	t.Parallel()
	writer, _ := shop(t)
	batch := &pgx.Batch{}
	batch.Queue("SELECT tandem.add('', 'x')")
	require.NoError(t, outbox.Queue(t.Context(), batch, outbox.Event{Topic: "orders"}))
	err := begin(t, writer).SendBatch(t.Context(), batch).Close()
	require.Equal(t, "TD001", sqlState(t, err))
	var invalid *outbox.InvalidEventError
	require.NotErrorAs(t, err, &invalid)
}

func TestQueueRefusedInGoQueuesNothing(t *testing.T) {
	t.Parallel()
	batch := &pgx.Batch{}
	var invalid *outbox.InvalidEventError
	require.ErrorAs(t, outbox.Queue(t.Context(), batch, outbox.Event{Topic: "ok"}, outbox.Event{}), &invalid)
	require.Zero(t, batch.Len())
}
