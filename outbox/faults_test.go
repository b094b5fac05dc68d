package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/faultyconn"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// ordered makes an order and its event in one transaction, and tells whether the
// commit was asked for.
func ordered(ctx context.Context, conn *pgx.Conn, id string) (asked bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO public.orders VALUES ($1)`, id); err != nil {
		return false, err
	}
	if err := outbox.Add(ctx, tx, outbox.Event{Topic: "orders", ID: id, Key: id, Payload: []byte("placed")}); err != nil {
		return false, err
	}
	return true, tx.Commit(ctx)
}

// Whichever message between a service and Postgres is the last one: the order and
// its event are both there or neither, a yes is a yes, and the caller who finds out
// and begins again comes to exactly one.
func TestTheConnectionFailsAtEachMessage(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	direct := connect(t, address)
	_, err := direct.Exec(t.Context(), `CREATE TABLE public.orders (id uuid PRIMARY KEY); GRANT INSERT ON public.orders TO tandem_writer`)
	require.NoError(t, err)
	whole := connect(t, asWriter(t, address))
	faulty, line := whole.Config(), faultyconn.New(faultyconn.Postgres)
	faulty.RuntimeParams["application_name"] = "faulty"
	faulty.DialFunc = line.Dial

	rows := func(id string) (orders, events int) {
		require.NoError(t, direct.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM public.orders WHERE id = $1), (SELECT count(*) FROM tandem.log WHERE id = $1)`, id).
			Scan(&orders, &events))
		return orders, events
	}
	unknown := map[bool]int{} // commits whose answer was lost, by what became of them
	disturbed := line.Each(1, func(at int, how faultyconn.How) {
		line.Break(0, how)
		conn, err := pgx.ConnectConfig(t.Context(), faulty)
		require.NoError(t, err)
		line.Break(at, how)
		id := outbox.NewID()
		asked, err := ordered(t.Context(), conn, id)
		conn.Close(t.Context())
		require.Eventually(t, func() bool { // the server may still be at it
			var sessions int
			require.NoError(t, direct.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'faulty' AND datname = current_database()`).Scan(&sessions))
			return sessions == 0
		}, 30*time.Second, time.Millisecond)
		orders, events := rows(id)
		require.Equal(t, orders, events, "message %d %v", at, how)
		switch {
		case err == nil:
			require.Equal(t, 1, events, "message %d %v", at, how)
		case !asked: // pgconn.SafeToRetry tells nothing: it may say yes of a commit whose answer was lost
			require.Zero(t, events, "message %d %v: %v", at, how, err)
		default:
			unknown[events == 1]++
		}
		if events == 0 {
			_, err := ordered(t.Context(), whole, id)
			require.NoError(t, err)
			orders, events = rows(id)
			require.Equal(t, []int{1, 1}, []int{orders, events})
		}
	})
	require.Greater(t, disturbed, 20)
	require.NotZero(t, unknown[true], "no answer to a commit was lost")
	require.NotZero(t, unknown[false], "no commit was lost after it was asked for")
}
