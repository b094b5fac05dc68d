package admin_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay/admin"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// desk is a database with events that are set aside, and an Operator who has a
// relay's rights alone and no search_path.
type desk struct {
	*admin.Operator
	url   string
	owner *pgx.Conn
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	url := testservers.Migrated(t)
	op, err := admin.New(asRelay(t, url), "")
	require.NoError(t, err)
	return &desk{Operator: op, url: url, owner: open(t, url, nil)}
}

func asRelay(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	return open(t, url, map[string]string{"role": "tandem_relay", "search_path": ""})
}

func open(t *testing.T, url string, settings map[string]string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	for name, value := range settings {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (d *desk) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := d.owner.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

func (d *desk) text(t *testing.T, query string, args ...any) string {
	t.Helper()
	var text string
	require.NoError(t, d.owner.QueryRow(t.Context(), query, args...).Scan(&text))
	return text
}

// aside puts an event into tandem.deferred as the relay would, and returns its
// id. An empty key is none.
func (d *desk) aside(t *testing.T, position int64, state, topic, key, reason string) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	require.NoError(t, err)
	d.exec(t, `INSERT INTO tandem.deferred (position, created_at, id, topic, key, headers, payload, state, ordered, due_at, reason, hint, attempts, parked_at)
		VALUES ($1, clock_timestamp(), $2, $3, nullif($4, ''), '{"tenant": "7"}', $5, $6, $6 <> 'scheduled',
			CASE WHEN $6 = 'scheduled' THEN clock_timestamp() + interval '1 hour' END, $7, CASE WHEN $6 = 'parked' THEN 'ask for less' ELSE '' END,
			CASE WHEN $6 = 'parked' THEN 1 ELSE 0 END, CASE WHEN $6 = 'parked' THEN clock_timestamp() END)`,
		position, id, topic, key, []byte("payload"), state, reason)
	return id
}

// poisoned is a topic "orders" where key a has a parked event and two behind it,
// key b a parked one; a parked one without a key in "bills", and in "bills" too
// one that waits for the topic and one that waits for its time.
func (d *desk) poisoned(t *testing.T) (ids []uuid.UUID) {
	t.Helper()
	return []uuid.UUID{
		d.aside(t, 1, "parked", "orders", "a", "Message Too Large"),
		d.aside(t, 2, "waiting", "orders", "a", ""),
		d.aside(t, 3, "parked", "orders", "b", "invalid record"),
		d.aside(t, 4, "waiting", "orders", "a", ""),
		d.aside(t, 5, "parked", "bills", "", "invalid record"),
		d.aside(t, 6, "waiting", "bills", "c", "the topic does not exist"),
		d.aside(t, 7, "scheduled", "bills", "a", ""),
	}
}

// list is the positions that List yields.
func (d *desk) list(t *testing.T, s admin.Selector) []int64 {
	t.Helper()
	positions := []int64{}
	for e, err := range d.List(t.Context(), s) {
		require.NoError(t, err)
		positions = append(positions, e.Position)
	}
	return positions
}
