package outboxtest_test

import (
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testfailure"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
	"github.com/tandem-outbox/tandem/outbox/outboxtest"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func connect(t *testing.T, address string) *pgxpool.Pool {
	pool, err := pgxpool.New(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func begin(t *testing.T, address string) pgx.Tx {
	tx, err := connect(t, address).Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(t.Context()) })
	return tx
}

var placed = outbox.Event{
	Topic: "orders", Key: "o-1", Type: "order.placed", Payload: []byte(`{"id": "o-1", "cents": 100}`), Headers: map[string]string{"tenant": "blue"},
}

func TestWhatATransactionHasAdded(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	other := connect(t, address)
	require.NoError(t, pgx.BeginFunc(t.Context(), other, func(tx pgx.Tx) error {
		return outbox.Add(t.Context(), tx, outbox.Event{Topic: "another"})
	}))
	tx := begin(t, address)
	outboxtest.RequireNoneAdded(t, tx)
	partition, at := int32(3), time.Date(2030, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
	all := []outbox.Event{
		placed,
		{ID: outbox.NewID(), Topic: "orders", Key: "o-1", Tombstone: true},
		{Topic: "metrics", Payload: []byte{0, 0xff}, AtMostOnce: true, Partition: &partition},
		{Topic: "mail", Payload: []byte{}, NotBefore: at, Expires: at.Add(time.Hour)},
		{Topic: "large", Payload: []byte(strings.Repeat("x", 5000))},
	}
	require.NoError(t, outbox.Add(t.Context(), tx, all[:2]...))
	savepoint, err := tx.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, outbox.Add(t.Context(), savepoint, all[2:]...))
	outboxtest.RequireAdded(t, savepoint, all...)
	require.NoError(t, savepoint.Commit(t.Context()))
	outboxtest.RequireAdded(t, tx, all...)

	added := outboxtest.Added(t, tx)
	for i := range added {
		require.NotEmpty(t, added[i].ID)
		if all[i].ID == "" {
			added[i].ID = ""
		}
	}
	for i := range all {
		all[i].NotBefore, all[i].Expires = all[i].NotBefore.UTC().Truncate(time.Microsecond), all[i].Expires.UTC().Truncate(time.Microsecond)
	}
	require.Equal(t, all, added)

	// What is empty stands for anything, JSON is JSON.
	outboxtest.RequireAdded(t, tx,
		outbox.Event{Topic: "orders", Payload: []byte(`{ "cents":100,"id":"o-1" }`)}, outbox.Event{Tombstone: true},
		outbox.Event{AtMostOnce: true}, outbox.Event{Topic: "mail"}, outbox.Event{})
}

// Whatever is different is said, beside what there is and what was expected.
func TestADifferenceFails(t *testing.T) {
	t.Parallel()
	tx := begin(t, testservers.Migrated(t))
	require.NoError(t, outbox.Add(t.Context(), tx, placed))
	partition := int32(1)
	for _, c := range []struct {
		want outbox.Event
		said string
	}{
		{outbox.Event{Topic: "order"}, `event 1: the topic is "orders", expected "order"`},
		{outbox.Event{Key: "o-2"}, `event 1: the key is "o-1", expected "o-2"`},
		{outbox.Event{Type: "order.paid"}, `event 1: the type is "order.placed", expected "order.paid"`},
		{outbox.Event{Payload: []byte(`{"id": "o-1", "cents": 101}`)}, `the payload is {"id": "o-1", "cents": 100}, expected {"id": "o-1", "cents": 101}`},
		{outbox.Event{Payload: []byte(`{"id": "o-1"}`)}, "the payload is"},
		{outbox.Event{Payload: []byte("text")}, `expected "text"`},
		{outbox.Event{Payload: []byte{}}, `expected ""`},
		{outbox.Event{Headers: map[string]string{"tenant": "red"}}, `the header tenant is "blue", expected "red"`},
		{outbox.Event{Headers: map[string]string{"user": "u"}}, `header user is missing, expected "u"`},
		{outbox.Event{Tombstone: true}, "it is a tombstone: false, expected: true"},
		{outbox.Event{AtMostOnce: true}, "it is to be sent at most once: false, expected: true"},
		{outbox.Event{Partition: &partition}, "it does not ask for partition 1"},
		{outbox.Event{ID: outbox.NewID()}, "the id is"},
		{outbox.Event{NotBefore: time.Unix(1e9, 0)}, "expected 2001-09-09T01:46:40Z"},
		{outbox.Event{Expires: time.Unix(1e9, 0)}, "Expires is"},
	} {
		said := testfailure.Of(t, func(t testing.TB) { outboxtest.RequireAdded(t, tx, c.want) })
		require.Contains(t, said, c.said)
		require.Contains(t, said, `  1. topic orders, key "o-1", type order.placed, payload {"id": "o-1", "cents": 100}, header tenant="blue", id `)
	}
	said := testfailure.Of(t, func(t testing.TB) { outboxtest.RequireNoneAdded(t, tx) })
	require.Contains(t, said, "expected: none\nthere:\n  1. topic orders")
	require.Contains(t, said, "event 1 is not expected")
	said = testfailure.Of(t, func(t testing.TB) { outboxtest.RequireAdded(t, tx, placed, outbox.Event{Topic: "mail"}) })
	require.Contains(t, said, "  2. topic mail\n")
	require.Contains(t, said, "event 2 is missing")
	require.NoError(t, outbox.Add(t.Context(), tx, outbox.Event{Topic: "mail"}))
	said = testfailure.Of(t, func(t testing.TB) { outboxtest.RequireAdded(t, tx, outbox.Event{Topic: "mail"}, placed) })
	require.Contains(t, said, `event 2: the topic is "mail", expected "orders"`, "the order counts")
}

// A login that may not read the log is told so, and what to do.
func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	u, err := url.Parse(address)
	require.NoError(t, err)
	q := u.Query()
	q.Set("role", "tandem_writer")
	u.RawQuery = q.Encode()
	tx := begin(t, u.String())
	require.Contains(t, testfailure.Of(t, func(t testing.TB) { outboxtest.RequireNoneAdded(t, tx) }), "GRANT SELECT ON tandem.log")
	require.Contains(t, testfailure.Of(t, func(t testing.TB) { outboxtest.RequireNoneAdded(t, tx) }), "a statement before has failed")
	require.Contains(t, testfailure.Of(t, func(t testing.TB) { outboxtest.Watch(t, u.String()) }), "connect the test as the owner")

	empty := testservers.Postgres(t)
	require.Contains(t, testfailure.Of(t, func(t testing.TB) { outboxtest.Watch(t, empty) }), "outboxtest.Migrate")
	require.Contains(t, testfailure.Of(t, func(t testing.TB) { outboxtest.RequireNoneAdded(t, outboxtest.SQL((*sql.Tx)(nil))) }), outbox.ErrNoTransaction.Error())
	outboxtest.Migrate(t, empty)
	outboxtest.Migrate(t, empty)
	outboxtest.RequireNoneAdded(t, begin(t, empty))
}

func TestTransactionsOfDatabaseSQL(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("pgx", testservers.Migrated(t))
	require.NoError(t, err)
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	outboxtest.RequireNoneAdded(t, outboxtest.SQL(tx))
	require.NoError(t, outboxsql.Add(t.Context(), tx, placed))
	outboxtest.RequireAdded(t, outboxtest.SQL(tx), placed)
	said := testfailure.Of(t, func(t testing.TB) { outboxtest.RequireNoneAdded(t, outboxtest.SQL(tx)) })
	require.Contains(t, said, "event 1 is not expected")
}

// Watching shows what is committed, when it is, and nothing twice.
func TestWatch(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	pool := connect(t, address)
	add := func(topic string, result error) {
		require.ErrorIs(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			require.NoError(t, outbox.Add(t.Context(), tx, outbox.Event{Topic: topic}))
			return result
		}), result)
	}
	add("before", nil)
	open := begin(t, address)
	require.NoError(t, outbox.Add(t.Context(), open, outbox.Event{Topic: "open"}))
	log := outboxtest.Watch(t, address)
	log.RequireNoneAdded(t)
	add("one", nil)
	add("rolled-back", errors.New("changed its mind"))
	add("two", nil)
	said := testfailure.Of(t, func(t testing.TB) { log.RequireAdded(t, outbox.Event{Topic: "one"}) })
	require.Contains(t, said, "event 2 is not expected")
	log.RequireNoneAdded(t)
	require.NoError(t, open.Commit(t.Context()))
	add("three", nil)
	log.RequireAdded(t, outbox.Event{Topic: "open"}, outbox.Event{Topic: "three"})
}

func TestADatabaseOfOnesOwn(t *testing.T) {
	t.Parallel()
	server := testservers.Postgres(t)
	var address string
	t.Run("makes it", func(t *testing.T) {
		address = outboxtest.Database(t, server)
		outboxtest.RequireNoneAdded(t, begin(t, address))
	})
	_, err := pgx.Connect(t.Context(), address)
	require.ErrorContains(t, err, "3D000", "it is dropped")
	require.Contains(t, testfailure.Of(t, func(t testing.TB) { outboxtest.Database(t, "host=localhost password=secret") }), "is not a URL")
}
