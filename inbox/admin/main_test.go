package admin_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/admin"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// desk is a database with messages that are set aside, and an Operator who has a
// consumer's rights alone and no search_path.
type desk struct {
	*admin.Operator
	url   string
	owner *pgxpool.Pool
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	url := testservers.Migrated(t)
	op, err := admin.New(testinbox.Pool(t, testinbox.AsConsumer(t, url)), "")
	require.NoError(t, err)
	return &desk{Operator: op, url: url, owner: testinbox.Pool(t, url)}
}

func (d *desk) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := d.owner.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

func (d *desk) text(t testing.TB, query string, args ...any) string {
	t.Helper()
	var text string
	require.NoError(t, d.owner.QueryRow(t.Context(), query, args...).Scan(&text))
	return text
}

// claimed makes a consumer the owner of a partition, seen just now however slow
// the test is.
func (d *desk) claimed(t testing.TB, consumer, topic string, partition int) {
	t.Helper()
	d.exec(t, `SELECT tandem.claim_inbox_partition($1, $2, $3, 'host/1')`, consumer, topic, partition)
	d.exec(t, `UPDATE tandem.inbox_partition SET seen_at = clock_timestamp() + interval '1 hour'`)
}

// row is a message set aside.
type row struct {
	consumer, topic string
	partition       int
	offset          int64
	id, key, state  string // an empty key is none
	lane            string // the key where it is empty
	reason          string
}

// aside puts a message into tandem.inbox_aside as its consumer would, and returns
// its number.
func (d *desk) aside(t testing.TB, r row) (number int64) {
	t.Helper()
	lane, scope := r.lane, "key"
	if lane == "" {
		lane = r.key
	}
	if r.key == "" {
		scope = "none"
	}
	require.NoError(t, d.owner.QueryRow(t.Context(), `INSERT INTO tandem.inbox_aside (consumer, topic, partition, position, digest, lane, scope, state,
			reason, error, hint, attempts, tried_at, parked_at, due_at, message_id, type, sent_at, key, header_names, header_values, value)
		VALUES ($1, $2, $3, $4, sha256($5::text::bytea), $6, $7, $8::text, $9::text, CASE WHEN $9 <> '' THEN 'it said ' || $9 ELSE '' END, 'look at it', CASE WHEN $8 = 'held' THEN 0 ELSE 3 END,
			CASE WHEN $8 <> 'held' THEN clock_timestamp() END, CASE WHEN $8 = 'parked' THEN clock_timestamp() END,
			CASE WHEN $8 = 'retrying' THEN clock_timestamp() + interval '1 hour' END,
			$5::text, 'order.placed', clock_timestamp(), nullif($10::text, '')::bytea, '{ce_id,odd}', '{x,"\\x00ff"}', 'payload')
		RETURNING aside`,
		r.consumer, r.topic, r.partition, r.offset, r.id, []byte(lane), scope, r.state, r.reason, r.key).Scan(&number))
	return number
}

// poisoned is what consumer billing has set aside of topic orders: of partition 0
// key a with a parked message and two behind it, and key b with a retrying one; of
// partition 1 a parked message without a key. And of consumer mail a parked one,
// with the first one's id.
func (d *desk) poisoned(t testing.TB) (numbers []int64) {
	t.Helper()
	d.claimed(t, "billing", "orders", 0)
	d.claimed(t, "billing", "orders", 1)
	d.claimed(t, "mail", "orders", 0)
	for _, r := range []row{
		{consumer: "billing", offset: 10, id: "m1", key: "a", state: "parked", reason: "Handler"},
		{consumer: "billing", offset: 11, id: "m2", key: "a", state: "held"},
		{consumer: "billing", offset: 12, id: "m3", key: "b", state: "retrying", reason: "panic"},
		{consumer: "billing", offset: 13, id: "m4", key: "a", state: "held"},
		{consumer: "billing", partition: 1, offset: 7, id: "", state: "parked", reason: "missing id"},
		{consumer: "mail", offset: 10, id: "m1", key: "a", state: "parked", reason: "handler"},
	} {
		r.topic = "orders"
		numbers = append(numbers, d.aside(t, r))
	}
	return numbers
}

// list is the numbers that List yields.
func (d *desk) list(t testing.TB, s admin.Selector) []int64 {
	t.Helper()
	numbers := []int64{}
	for m, err := range d.List(t.Context(), s) {
		require.NoError(t, err)
		numbers = append(numbers, m.Aside)
	}
	return numbers
}

// changed is how often each partition was told of a change.
func (d *desk) changed(t testing.TB) string {
	t.Helper()
	return d.text(t, `SELECT string_agg(concat_ws(':', consumer, partition, changed), ' ' ORDER BY consumer, partition) FROM tandem.inbox_partition`)
}

// asked is the numbers that carry a redrive, and who asked.
func (d *desk) asked(t testing.TB) string {
	t.Helper()
	return d.text(t, `SELECT coalesce(string_agg(aside || ':' || redrive_by, ' ' ORDER BY aside), '') FROM tandem.inbox_aside WHERE redrive`)
}

// locked holds row locks as a batch in progress does: on the partition's row, and
// on messages.
func (d *desk) locked(t testing.TB, numbers ...int64) (release func()) {
	t.Helper()
	tx, err := d.owner.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM tandem.inbox_partition FOR KEY SHARE`)
	require.NoError(t, err)
	tag, err := tx.Exec(t.Context(), `SELECT FROM tandem.inbox_aside WHERE aside = ANY ($1) FOR UPDATE`, numbers)
	require.NoError(t, err)
	require.Len(t, numbers, int(tag.RowsAffected()))
	release = func() { _ = tx.Rollback(context.Background()) }
	t.Cleanup(release)
	return release
}

func open(t testing.TB, url string, settings map[string]string) *pgx.Conn {
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

func pointer[T any](v T) *T { return &v }

// secondSchema is another inbox in the same database.
func secondSchema(t *testing.T, d *desk) *desk {
	t.Helper()
	config, err := pgx.ParseConfig(d.url)
	require.NoError(t, err)
	migrator, err := migrations.Open(config, "messages")
	require.NoError(t, err)
	defer func() { require.NoError(t, migrator.Close()) }()
	_, err = migrator.Up(t.Context())
	require.NoError(t, err)
	op, err := admin.New(testinbox.Pool(t, testinbox.AsConsumer(t, d.url)), "messages")
	require.NoError(t, err)
	return &desk{Operator: op, url: d.url, owner: d.owner}
}
