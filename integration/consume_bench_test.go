package integration_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// BenchmarkConsume takes messages out of a topic of 4 partitions, in batches of
// 100, each with one effect row: by a handler for each message and by one for
// batches; and with poison, which keeps failing and is parked.
func BenchmarkConsume(b *testing.B) {
	for _, c := range []struct {
		name   string
		batch  bool
		poison int // one message in so many; 0 is none
	}{
		{"each/clean", false, 0}, {"each/poison=10000", false, 10_000}, {"each/poison=100", false, 100},
		{"batch/clean", true, 0}, {"batch/poison=10000", true, 10_000}, {"batch/poison=100", true, 100},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				benchmarkConsume(b, c.batch, c.poison)
			}
		})
	}
}

func benchmarkConsume(b *testing.B, batch bool, poison int) {
	const messages, partitions = 200_000, 4
	b.StopTimer()
	topic := testservers.Topic(b, partitions)
	address := testservers.Migrated(b)
	pool, err := pgxpool.New(context.Background(), address+"&pool_max_conns=8")
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	_, err = pool.Exec(b.Context(), `CREATE TABLE public.effects (name text NOT NULL)`)
	require.NoError(b, err)
	fill(b, topic, messages, partitions, poison)

	config := inboxkafka.Config{
		Brokers: testservers.Kafka(b), Consumer: "bench", GroupID: topic, Topics: []string{topic},
		BatchSize: 100, MaxAttempts: 1, Hold: inboxkafka.HoldNothing, Logger: slog.New(slog.DiscardHandler),
	}
	var done atomic.Int64
	over := make(chan struct{})
	config.Hooks.Committed = func(t inboxkafka.Batch) {
		if done.Add(int64(t.Handled+t.Parked)) >= messages {
			close(over)
		}
	}
	consumer, err := newBenchConsumer(config, pool, batch)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	b.StartTimer()
	started := time.Now()
	go func() { stopped <- consumer.Run(ctx) }()
	select {
	case <-over:
	case err := <-stopped:
		b.Fatal(err)
	}
	took := time.Since(started)
	b.StopTimer()
	cancel()
	require.NoError(b, <-stopped)
	stats := consumer.Stats()
	b.ReportMetric(messages/took.Seconds(), "msg/s")
	b.Logf("%d messages in %v: %.0f msg/s, %d transactions, %d parked", messages, took.Round(time.Millisecond), messages/took.Seconds(), stats.Batches, stats.Parked)
	var effects int
	require.NoError(b, pool.QueryRow(b.Context(), `SELECT count(*) FROM public.effects`).Scan(&effects))
	require.Equal(b, int(messages-stats.Parked), effects)
	b.StartTimer()
}

var errPoison = errors.New("poison")

func newBenchConsumer(config inboxkafka.Config, pool *pgxpool.Pool, batch bool) (*inboxkafka.Consumer, error) {
	if !batch {
		return inboxkafka.NewConsumer(config, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			if _, err := tx.Exec(ctx, `INSERT INTO public.effects (name) VALUES ($1)`, string(m.Value)); err != nil {
				return err
			}
			if m.Header("poison") != "" {
				return errPoison
			}
			return nil
		})
	}
	return inboxkafka.NewBatchConsumer(config, pool, func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
		names := make([]string, len(batch))
		for i, m := range batch {
			names[i] = string(m.Value)
			if m.Header("poison") != "" {
				return inbox.FailedAt(i, errPoison)
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO public.effects (name) SELECT unnest($1::text[])`, names)
		return err
	})
}

// fill produces messages of 200 bytes, evenly over the partitions.
func fill(b *testing.B, topic string, messages, partitions, poison int) {
	b.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(testservers.Kafka(b)...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(b, err)
	defer client.Close()
	failed := make(chan error, messages)
	for i := range messages {
		r := record(topic, int32(i/100%partitions), fmt.Sprintf("%0200d", i))
		if poison > 0 && i%poison == poison/2 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "poison", Value: []byte("yes")})
		}
		client.Produce(b.Context(), r, func(_ *kgo.Record, err error) { failed <- err })
	}
	for range messages {
		require.NoError(b, <-failed)
	}
}
