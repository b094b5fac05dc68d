package inboxkafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

// awaitStats waits until a consumer's figures are as ready wants them.
func awaitStats(t *testing.T, consumer *inboxkafka.Consumer, ready func(inboxkafka.Stats) bool) inboxkafka.Stats {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s := consumer.Stats()
		if ready(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it does not become so: %+v", s)
		}
	}
}

// only is the figures of the one partition that there is.
func only(s inboxkafka.Stats) inboxkafka.PartitionStats {
	if len(s.Partitions) != 1 {
		return inboxkafka.PartitionStats{Lag: -2}
	}
	return s.Partitions[0]
}

func TestStats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, kfake.SeedTopics(1, "others"))
	twice := keyed(0, "a", "a1")
	again := *twice
	w.send(twice, &again, keyed(0, "b", "bad b1"), keyed(0, "b", "b2"), keyed(0, "c", "skip c1"))
	other := *record(0, "o1")
	other.Topic = "others"
	w.send(&other)
	var batches atomic.Int64
	config := w.config()
	config.Topics = []string{topic, "others"}
	config.MaxAttempts, config.SessionTimeout = 2, patience
	config.Hooks.Committed = func(b inboxkafka.Batch) { batches.Add(int64(b.Size)) }
	consumer := w.consumer(config, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if string(m.Value) == "skip c1" {
			return inbox.Skip("of no interest")
		}
		return (&sick{}).handle(ctx, tx, m)
	})
	w.run(consumer)
	w.awaitParked(1)
	stats := awaitStats(t, consumer, func(s inboxkafka.Stats) bool { // what it holds, and nothing else
		return s.Parked == 1 && s.Handled == 2 && s.Skipped == 1 && len(s.Partitions) == 2 && s.Partitions[0].Lag == 0 && s.Partitions[1].Lag == 0
	})
	require.Equal(t, "billing", stats.Consumer)
	require.Len(t, stats.Topics, 2)
	orders, others := stats.Topics[0], stats.Topics[1]
	require.Equal(t, topic, orders.Topic)
	require.Equal(t, "others", others.Topic)
	require.Equal(t, inboxkafka.Totals{Batches: 1, Handled: 1}, others.Totals)
	require.Equal(t, orders.Batches+1, stats.Batches)
	orders.Batches = 0
	require.Equal(t, inboxkafka.Totals{Handled: 1, Duplicates: 1, Failed: 1, Retried: 1, Parked: 1, Held: 1, Skipped: 1}, orders.Totals)
	require.GreaterOrEqual(t, batches.Load(), int64(7), "six that came and one that was tried again")
	p := stats.Partitions[0]
	require.Equal(t, []any{topic, 0, "working", "", int64(5), int64(5), 1, int64(2)}, []any{p.Topic, p.Partition, p.State, p.Why, p.Next, p.End, p.HeldKeys, p.Aside})
	require.False(t, p.Since.IsZero())
}

// What waits behind a partition that is blocked is seen to grow, though nothing
// is fetched. A message that holds it as the Config asks for is no illness.
func TestTheLagOfAPartitionThatIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a", "bad")
	config := w.config()
	config.Hold, config.MaxAttempts = inboxkafka.HoldPartition, 1
	consumer := w.consumer(config, (&sick{}).handle)
	w.run(consumer)
	w.awaitParked(1)
	w.awaitCommitted(0, 2)
	w.produce(0, "b", "c", "d")
	stats := awaitStats(t, consumer, func(s inboxkafka.Stats) bool { return only(s).Lag == 3 })
	require.Equal(t, "blocked", only(stats).State)
	require.Contains(t, only(stats).Why, "holds the partition")
	require.NoError(t, consumer.HealthAt(time.Now().Add(time.Hour)))
}

// What is open in a transaction is not yet there.
func TestTheLagOfAnEmptyPartitionIsZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	consumer := w.consumer(w.config(), effect)
	w.run(consumer)
	awaitStats(t, consumer, func(s inboxkafka.Stats) bool { return only(s).Lag == 0 && only(s).End == 0 })
	client := w.client(kgo.TransactionalID("t"))
	require.NoError(t, client.BeginTransaction())
	require.NoError(t, client.ProduceSync(t.Context(), record(0, "open")).FirstErr())
	w.produce(0, "behind it")
	require.NoError(t, client.EndTransaction(t.Context(), kgo.TryCommit))
	w.awaitEffects(2)
	awaitStats(t, consumer, func(s inboxkafka.Stats) bool { return only(s).Lag == 0 && only(s).Next >= 3 })
}

func TestHealthFollowsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config := w.config()
	consumer := w.consumer(config, effect)
	require.ErrorContains(t, consumer.Health(), "does not run")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	awaitHealth(t, consumer, "", 0)
	awaitStats(t, consumer, func(s inboxkafka.Stats) bool { return only(s).State == "working" })
	other := w.consumer(config, effect)
	w.run(other)
	awaitHealth(t, other, "", time.Hour) // it stands by: there is one partition
	cancel()
	require.NoError(t, <-done)
	require.ErrorContains(t, consumer.Health(), "does not run")
}

// awaitHealth waits for an error, or none, as it would be told so much later.
func awaitHealth(t *testing.T, consumer *inboxkafka.Consumer, want string, later time.Duration) {
	t.Helper()
	var err error
	require.Eventually(t, func() bool {
		if err = consumer.HealthAt(time.Now().Add(later)); want == "" {
			return err == nil
		}
		return err != nil && strings.Contains(err.Error(), want)
	}, patience, 5*time.Millisecond, "%v", err)
}

func TestHealthOfAPartitionThatDoesNotGoOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ill  func(*world, *sick) (mend func())
		want string
	}{
		"the broker fails": {func(w *world, _ *sick) func() {
			fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.KafkaStorageError, Count: -1})
			return fault.Remove
		}, "orders/0 is blocked, for 1h0m0s now: messages cannot be fetched: [56] Kafka Storage Error"},
		"the database fails": {func(w *world, _ *sick) func() {
			_, err := w.admin.Exec(context.Background(), `ALTER TABLE tandem.inbox RENAME TO gone`)
			require.NoError(w, err)
			return func() {
				_, err := w.admin.Exec(context.Background(), `ALTER TABLE tandem.gone RENAME TO inbox`)
				require.NoError(w, err)
			}
		}, `orders/0 is blocked, for 1h0m0s now: the database does not take a batch: record the ids of a batch: ERROR: relation "tandem.inbox" does not exist`},
		"the handler fails": {func(_ *world, s *sick) func() {
			return func() { s.mended.Store(true) }
		}, "orders/0 is blocked, for 1h0m0s now: message after message fails"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.produce(0, "well")
			s := &sick{}
			config := w.config()
			config.BreakAfter = 2
			consumer := w.consumer(config, s.handle)
			w.run(consumer)
			w.awaitEffects(1)
			mend := c.ill(w, s)
			var values []string
			for i := range 5 {
				values = append(values, fmt.Sprintf("bad %d", i))
			}
			if name != "the handler fails" {
				s.mended.Store(true)
			}
			w.produce(0, values...)
			awaitHealth(t, consumer, c.want, time.Hour)
			require.NoError(t, consumer.Health(), "it may pass")
			mend()
			awaitHealth(t, consumer, "", time.Hour)
			w.awaitEffects(6)
		})
	}
}

// One that is broken says so once, however long it lasts and whatever is tried
// meanwhile, and once that it goes on.
func TestABrokenHandlerIsLoggedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "bad 1", "bad 2", "bad 3", "bad 4")
	s := &sick{}
	config := w.config()
	config.BreakAfter, config.MaxAttempts, config.SessionTimeout = 2, 1_000_000, patience
	stop := w.start(config, s.handle)
	w.awaitRow(`SELECT count(*) FILTER (WHERE attempts > 15) > 1 FROM tandem.inbox_aside`)
	s.mended.Store(true)
	w.awaitEffects(4)
	w.awaitCommitted(0, 4)
	stop()
	require.Len(t, w.logs.of(slog.LevelError), 1, "%q", w.logs.of(slog.LevelError))
	over := 0
	for _, line := range w.logs.of(slog.LevelInfo) {
		if strings.Contains(line, "it goes on was=message after message fails") {
			over++
		}
	}
	require.Equal(t, 1, over, "%q", w.logs.of(slog.LevelInfo))
	require.Regexp(t, `left the group .*handled=4 duplicates=0 .*parked=0`, strings.Join(w.logs.of(slog.LevelInfo), "\n"))
}
