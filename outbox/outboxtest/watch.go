package outboxtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/outbox"
)

// Log is the events that are committed since [Watch], or since they were last asked
// for.
type Log struct {
	conn *pgx.Conn
	seen string // the snapshot of the last look
}

// Watch watches the log for events that others commit, in whatever transaction, until
// the test ends. Other tests in the same database are others too: give each test that
// watches a database of its own, see [Database].
func Watch(t testing.TB, databaseURL string) *Log {
	t.Helper()
	l := &Log{conn: connect(t, databaseURL)}
	if err := l.conn.QueryRow(t.Context(), nowSQL).Scan(&l.seen); err != nil {
		t.Fatal(explain(err))
	}
	return l
}

// nowSQL also asks whether the log may be read: what is wrong is to be said at once.
const nowSQL = `SELECT pg_current_snapshot()::text FROM (SELECT count(*) FROM (SELECT FROM tandem.log LIMIT 1) AS one) AS readable`

// sinceSQL reads what the snapshot before did not see, and the snapshot that it is
// read by.
const sinceSQL = `SELECT pg_current_snapshot()::text, ` + eventsSQL + ` FROM tandem.log WHERE NOT pg_visible_in_snapshot(tx, $1::pg_snapshot)`

// Added returns what was added, in order of position, each with its id.
func (l *Log) Added(t testing.TB) []outbox.Event {
	t.Helper()
	var text string
	if err := l.conn.QueryRow(t.Context(), sinceSQL, l.seen).Scan(&l.seen, &text); err != nil {
		t.Fatal(explain(err))
	}
	return decode(t, text)
}

// RequireAdded fails the test unless what was added is just this, in this order.
func (l *Log) RequireAdded(t testing.TB, want ...outbox.Event) {
	t.Helper()
	requireSame(t, "other events were committed than expected", l.Added(t), want)
}

// RequireNoneAdded fails the test where an event was added.
func (l *Log) RequireNoneAdded(t testing.TB) {
	t.Helper()
	l.RequireAdded(t)
}

// cleanupTimeout bounds what is done after a test.
const cleanupTimeout = 30 * time.Second

func connect(t testing.TB, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatalf("outboxtest: connect to the test's database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		conn.Close(ctx)
	})
	return conn
}
