package outbox_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

// Positions are drawn in the order of the call, and ids made by it ascend.
func TestOrderOfManyEvents(t *testing.T) {
	t.Parallel()
	events := make([]outbox.Event, 5_000)
	for i := range events {
		// Descending keys: an order by anything but the place would show.
		events[i] = outbox.Event{Topic: "t", Key: fmt.Sprintf("%05d", len(events)-i)}
	}
	for _, w := range ways(t, testservers.Migrated(t)) {
		got, err := w.try(t, events...)
		require.NoError(t, err, w.name)
		require.Len(t, got, len(events), w.name)
		require.True(t, slices.IsSortedFunc(got, func(a, b stored) int { return strings.Compare(*b.Key, *a.Key) }), w.name)
		if !w.sql { // SQL's ids share a millisecond's order with chance
			require.True(t, slices.IsSortedFunc(got, func(a, b stored) int { return strings.Compare(a.ID, b.ID) }), w.name)
		}
	}
}

// The caller's slice is the caller's.
func TestEventsAreNotChanged(t *testing.T) {
	t.Parallel()
	events := []outbox.Event{{Topic: "a"}, {Topic: "b", Payload: []byte("x")}}
	require.NoError(t, outbox.Queue(t.Context(), &pgx.Batch{}, events...))
	require.Equal(t, []outbox.Event{{Topic: "a"}, {Topic: "b", Payload: []byte("x")}}, events)
}

func TestRollbackLeavesNothing(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	conn := connect(t, asWriter(t, address))
	tx := begin(t, conn)
	require.NoError(t, outbox.Add(t.Context(), tx, outbox.Event{Topic: "rolled-back"}))
	require.NoError(t, tx.Rollback(t.Context()))

	tx = begin(t, conn)
	require.NoError(t, outbox.Add(t.Context(), tx, outbox.Event{Topic: "committed"}))
	savepoint, err := tx.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, outbox.Add(t.Context(), savepoint, outbox.Event{Topic: "to-savepoint"}))
	require.NoError(t, savepoint.Rollback(t.Context()))
	require.NoError(t, tx.Commit(t.Context()))

	events := inLog(t, begin(t, connect(t, address)))
	require.Len(t, events, 1)
	require.Equal(t, "committed", events[0].Topic)
}

func TestNoEventsAreNoStatement(t *testing.T) {
	t.Parallel()
	conn := connect(t, asWriter(t, testservers.Migrated(t)))
	tx := begin(t, conn)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, outbox.Add(t.Context(), tx), "a statement would fail on a closed transaction")
	require.NoError(t, outbox.LockKey(t.Context(), tx))
	batch := &pgx.Batch{}
	require.NoError(t, outbox.Queue(t.Context(), batch))
	require.Zero(t, batch.Len())
}

func TestOutsideATransaction(t *testing.T) {
	t.Parallel()
	e := outbox.Event{Topic: "t"}
	for name, tx := range map[string]pgx.Tx{"nil": nil, "nil pointer": (*pgxpool.Tx)(nil)} {
		require.ErrorIs(t, outbox.Add(t.Context(), tx, e), outbox.ErrNoTransaction, name)
		require.ErrorIs(t, outbox.Add(t.Context(), tx), outbox.ErrNoTransaction, name)
		require.ErrorIs(t, outbox.LockKey(t.Context(), tx, "k"), outbox.ErrNoTransaction, name)
	}
	require.ErrorIs(t, outbox.Queue(t.Context(), nil, e), outbox.ErrNoTransaction)
	require.ErrorIs(t, outboxsql.Add(t.Context(), nil, e), outbox.ErrNoTransaction)
	require.ErrorIs(t, outboxsql.LockKey(t.Context(), nil, "k"), outbox.ErrNoTransaction)
	require.ErrorIs(t, outboxsql.Add(t.Context(), (*sql.Tx)(nil), e), outbox.ErrNoTransaction)

	conn := connect(t, asWriter(t, testservers.Migrated(t)))
	tx := begin(t, conn)
	require.NoError(t, tx.Commit(t.Context()))
	require.ErrorIs(t, outbox.Add(t.Context(), tx, e), pgx.ErrTxClosed)
}

// The log, the limits and the roles of two schemas are apart.
func TestTwoSchemas(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	migrate(t, address, "order")
	w, err := outbox.NewWriter("order")
	require.NoError(t, err)
	onSQL, err := outboxsql.NewWriter("order")
	require.NoError(t, err)
	_, err = connect(t, address).Exec(t.Context(), `UPDATE "order".settings SET max_event_bytes = 3`)
	require.NoError(t, err)

	four := outbox.Event{Topic: "t", Payload: []byte("four")}
	var invalid *outbox.InvalidEventError
	_, err = inPgx(t, asWriter(t, address), pgx.QueryExecModeExec, w.Add)(t, four)
	require.ErrorAs(t, err, &invalid)
	_, err = inPgx(t, asWriter(t, address), pgx.QueryExecModeExec, outbox.Add)(t, four)
	require.NoError(t, err)

	conn := connect(t, asWriter(t, address))
	tx := begin(t, conn)
	require.NoError(t, outbox.Add(t.Context(), tx, four))
	require.NoError(t, w.LockKey(t.Context(), tx, "k"))
	require.NoError(t, w.Add(t.Context(), tx, outbox.Event{Topic: "a"}))
	batch := &pgx.Batch{}
	require.NoError(t, w.Queue(t.Context(), batch, outbox.Event{Topic: "b"}))
	require.NoError(t, tx.SendBatch(t.Context(), batch).Close())
	require.Equal(t, "t", inLog(t, tx)[0].Topic)
	var topics []string
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT array_agg(topic ORDER BY position) FROM "order".log`).Scan(&topics))
	require.Equal(t, []string{"a", "b"}, topics)

	db, err := sql.Open("pgx", asWriter(t, address))
	require.NoError(t, err)
	defer db.Close()
	sqlTx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = sqlTx.Rollback() }()
	require.NoError(t, onSQL.LockKey(t.Context(), sqlTx, "another")) // "k" is locked: the locks are the database's
	require.ErrorAs(t, onSQL.Add(t.Context(), sqlTx, four), &invalid)

	for _, bad := range []string{"", "Order", "or der", `o"`, "pg_x", "1a"} {
		_, err := outbox.NewWriter(bad)
		require.Error(t, err, bad)
		_, err = outboxsql.NewWriter(bad)
		require.Error(t, err, bad)
	}
}

func migrate(t testing.TB, address, schemaName string) {
	t.Helper()
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	m, err := migrations.Open(config, schemaName)
	require.NoError(t, err)
	defer m.Close()
	_, err = m.Up(t.Context())
	require.NoError(t, err)
}

// A writer may add, and neither read the log nor say where in it an event goes.
func TestRightsOfAWriter(t *testing.T) {
	t.Parallel()
	conn := connect(t, asWriter(t, testservers.Migrated(t)))
	for _, allowed := range []string{
		"SELECT tandem.add('t', 'x')",
		"SELECT tandem.lock_key('a', 'b')",
		"SELECT max_event_bytes FROM tandem.settings",
	} {
		_, err := conn.Exec(t.Context(), allowed)
		require.NoError(t, err, allowed)
	}
	for _, forbidden := range []string{
		"SELECT * FROM tandem.log",
		"SELECT topic FROM tandem.log_00",
		"UPDATE tandem.log SET topic = 'x'",
		"DELETE FROM tandem.log",
		"TRUNCATE tandem.log_00",
		"INSERT INTO tandem.log (topic, tx) VALUES ('t', pg_current_xact_id())",
		"INSERT INTO tandem.log (topic, position) VALUES ('t', 1)",
		"INSERT INTO tandem.log (topic, created_at) VALUES ('t', now())",
		"INSERT INTO tandem.log_00 (topic) VALUES ('t')",
		"SELECT setval('tandem.log_position', 1)",
		"UPDATE tandem.settings SET max_event_bytes = 1",
		"SELECT * FROM tandem.checkpoint",
		"SELECT * FROM tandem.lease",
		"SELECT * FROM tandem.inbox",
		"SELECT tandem.maintain_inbox()",
	} {
		_, err := conn.Exec(t.Context(), forbidden)
		require.Equal(t, "42501", sqlState(t, err), forbidden)
	}
}

// Errors of Postgres's keep their code and say what to do next.
func TestErrorsForOperators(t *testing.T) {
	t.Parallel()
	empty := connect(t, testservers.Postgres(t))
	err := outbox.Add(t.Context(), begin(t, empty), outbox.Event{Topic: "t"})
	require.Equal(t, "42P01", sqlState(t, err))
	require.ErrorContains(t, err, "tandem migrate up")

	address := testservers.Migrated(t)
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	config.RuntimeParams["role"] = "tandem_consumer"
	err = outbox.Add(t.Context(), begin(t, connectWith(t, config)), outbox.Event{Topic: "t"})
	require.Equal(t, "42501", sqlState(t, err))
	require.ErrorContains(t, err, "GRANT tandem_writer")
}

func sqlState(t testing.TB, err error) string {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	return pg.Code
}

// The columns of delivery take their value from their own event, whichever
// events of the call have one; ordinary rows hold NULL.
func TestDeliveryOfSomeOfTheEvents(t *testing.T) {
	t.Parallel()
	events := []outbox.Event{
		{Topic: "t"}, {Topic: "t", Expires: noon}, {Topic: "t"}, {Topic: "t", AtMostOnce: true, Expires: noon.Add(time.Hour)},
		{Topic: "t", NotBefore: noon}, {Topic: "t"},
	}
	for _, w := range ways(t, testservers.Migrated(t)) {
		got, err := w.try(t, events...)
		require.NoError(t, err, w.name)
		for i, e := range events {
			want := asStored(e)
			want.ID = got[i].ID
			require.Equal(t, want, got[i], "%s: event %d", w.name, i)
		}
	}
}

// What Postgres keeps is microseconds; the rest is cut off, not rounded up.
func TestTimesAreCutToMicroseconds(t *testing.T) {
	t.Parallel()
	e := outbox.Event{Topic: "t", NotBefore: noon.Add(999), Expires: noon.Add(1_999)}
	for _, w := range ways(t, testservers.Migrated(t)) {
		got, err := w.try(t, e)
		require.NoError(t, err, w.name)
		require.Equal(t, timeAsStored(noon), got[0].NotBefore, w.name)
		require.Equal(t, timeAsStored(noon.Add(time.Microsecond)), got[0].Expires, w.name)
	}
}
