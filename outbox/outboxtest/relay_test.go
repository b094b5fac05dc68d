package outboxtest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testfailure"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxtest"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
	"github.com/tandem-outbox/tandem/relay/relaytest"
)

func add(t *testing.T, pool *pgxpool.Pool, events ...outbox.Event) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return outbox.Add(t.Context(), tx, events...) }))
}

func numbered(key string, from, to int) (events []outbox.Event) {
	for n := from; n <= to; n++ {
		events = append(events, outbox.Event{Topic: "orders", Key: key, Payload: fmt.Appendf(nil, `{"n": %d}`, n)})
	}
	return events
}

func TestDrain(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	pool := connect(t, address)
	require.Empty(t, outboxtest.Drain(t, address))
	want := append(append(numbered("a", 1, 20), numbered("b", 1, 20)...), placed, outbox.Event{Topic: "stock", Key: "s", Tombstone: true},
		outbox.Event{Topic: "metrics", Payload: []byte("1"), AtMostOnce: true}, outbox.Event{Topic: "metrics", Payload: []byte("2")})
	add(t, pool, want...)
	records := outboxtest.Drain(t, address)
	outboxtest.RequirePublished(t, records, want...)
	require.Empty(t, outboxtest.Drain(t, address), "once is enough")

	want[0], want[1] = want[1], want[0]
	said := testfailure.Of(t, func(t testing.TB) { outboxtest.RequirePublished(t, records, want...) })
	require.Contains(t, said, "expected event 1 was not published, or not in its turn")
	want[0], want[1] = want[1], want[0]
	said = testfailure.Of(t, func(t testing.TB) { outboxtest.RequirePublished(t, records, want[1:]...) })
	require.Contains(t, said, "is not expected, or not in its turn")
	said = testfailure.Of(t, func(t testing.TB) { outboxtest.RequirePublished(t, records, append(want, placed)...) })
	require.Contains(t, said, "expected event 45 was not published")
}

func TestRelay(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	pool := connect(t, address)
	var records *outboxtest.Records
	t.Run("runs until the test ends", func(t *testing.T) {
		records = outboxtest.Relay(t, address)
		add(t, pool, numbered("a", 1, 3)...)
		outboxtest.RequirePublished(t, records.Wait(t, 3), numbered("a", 1, 3)...)
		add(t, pool, numbered("a", 4, 5)...)
		outboxtest.RequirePublished(t, records.Wait(t, 5), numbered("a", 1, 5)...)
	})
	add(t, pool, numbered("a", 6, 6)...)
	outboxtest.RequirePublished(t, outboxtest.Drain(t, address), numbered("a", 6, 6)...)
	require.Len(t, records.Records(), 5)
}

// What a broker does wrong can be had.
func TestBrokersThatMisbehave(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	pool := connect(t, address)
	broker := relaytest.NewMemory()
	on := func(c *relay.Config) { c.Publisher, c.TopicTimeout = broker, 50*time.Millisecond }

	broker.LoseAnswers(1)
	add(t, pool, numbered("a", 1, 2)...)
	records := outboxtest.Drain(t, address, on)
	require.Len(t, records, 4, "everything twice")
	require.Equal(t, records[0].ID, records[2].ID)
	outboxtest.RequirePublished(t, records, numbered("a", 1, 2)...)

	broker.Refuse(func(e *relay.Event) bool { return string(e.Payload) == `{"n": 3}` })
	add(t, pool, append(numbered("a", 3, 4), numbered("b", 1, 1)...)...)
	outboxtest.RequirePublished(t, outboxtest.Drain(t, address, on), numbered("b", 1, 1)...)
	var states []string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT array_agg(state ORDER BY position) FROM tandem.parked`).Scan(&states))
	require.Equal(t, []string{"parked", "held"}, states)

	broker.SetPartitions("gone", 0)
	add(t, pool, outbox.Event{Topic: "gone", Key: "g"}, outbox.Event{Topic: "there", Key: "t"})
	outboxtest.RequirePublished(t, outboxtest.Drain(t, address, on), outbox.Event{Topic: "there"})
	broker.SetPartitions("gone", 1)
	outboxtest.RequirePublished(t, outboxtest.Drain(t, address, on), outbox.Event{Topic: "gone"})
}

// A relay that ends fails the test, and nobody waits for what will not come.
func TestARelayThatFails(t *testing.T) {
	t.Parallel()
	empty := testservers.Postgres(t)
	said := testfailure.Of(t, func(t testing.TB) { outboxtest.Relay(t, empty).Wait(t, 1) })
	require.Contains(t, said, "0 events were published, waited for 1")
	require.Contains(t, said, "outboxtest: the relay: ")
	require.Contains(t, testfailure.Of(t, func(t testing.TB) { outboxtest.Drain(t, empty) }), "outboxtest: the relay: ")

	address := testservers.Migrated(t)
	said = testfailure.Of(t, func(t testing.TB) {
		outboxtest.Relay(t, address, func(c *relay.Config) { c.UntilEmpty = true }).Wait(t, 1)
	})
	require.Contains(t, said, "it ended before the test did")
	said = testfailure.Of(t, func(t testing.TB) {
		outboxtest.Drain(t, address, func(c *relay.Config) { c.Publisher = (*relaykafka.Publisher)(nil) })
	})
	require.Contains(t, said, "it must be a *relaytest.Memory")
	said = testfailure.Of(t, func(t testing.TB) { outboxtest.Drain(t, address, func(c *relay.Config) { c.PageBytes = -1 }) })
	require.Contains(t, said, "Config.PageBytes")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := relaytest.NewMemory().Wait(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
}
