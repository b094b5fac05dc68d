package integration_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
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
// 100, each with one effect row in a table with a primary key. The handler makes
// the effects of a batch in one statement (set), sends a statement for each in one
// round trip (pipelined), or is called for each message (each). Each with an
// inbox and without (see consumeWithout), in turns, so that both have the same
// weather: in/out is the median of the rounds' ratios.
func BenchmarkConsume(b *testing.B) {
	for _, name := range []string{"set", "pipelined", "each"} {
		b.Run(name, func(b *testing.B) {
			const rounds = 5
			var with, without, ratios []float64
			for b.Loop() {
				for range rounds {
					i, o := benchmarkConsume(b, name, 0, true), benchmarkConsume(b, name, 0, false)
					with, without, ratios = append(with, i), append(without, o), append(ratios, i/o)
					b.Logf("with an inbox %.0f msg/s, without %.0f: %.2f", i, o, i/o)
				}
			}
			b.ReportMetric(middle(with), "inbox-msg/s")
			b.ReportMetric(middle(without), "without-msg/s")
			b.ReportMetric(middle(ratios), "in/out")
		})
	}
}

// BenchmarkConsumePoison is BenchmarkConsume with messages that keep failing, one
// in so many, and are parked.
func BenchmarkConsumePoison(b *testing.B) {
	for _, name := range []string{"set", "each"} {
		for _, every := range []int{10_000, 100} {
			b.Run(fmt.Sprintf("%s/every=%d", name, every), func(b *testing.B) {
				for b.Loop() {
					b.ReportMetric(benchmarkConsume(b, name, every, true), "msg/s")
				}
			})
		}
	}
}

func middle(figures []float64) float64 {
	slices.Sort(figures)
	return figures[len(figures)/2]
}

// consumeBatch is the messages of a transaction.
const consumeBatch = 100

// benchmarkConsume consumes a topic to its end and returns messages a second.
func benchmarkConsume(b *testing.B, style string, poison int, withInbox bool) float64 {
	const messages, partitions = 200_000, 4
	topic := testservers.Topic(b, partitions)
	pool, err := pgxpool.New(context.Background(), testservers.Migrated(b)+"&pool_max_conns=8")
	require.NoError(b, err)
	defer pool.Close()
	_, err = pool.Exec(b.Context(), `CREATE TABLE public.effects (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL)`)
	require.NoError(b, err)
	fill(b, topic, messages, partitions, poison)

	var done atomic.Int64
	var started time.Time
	var once sync.Once
	over := make(chan struct{})
	committed := func(n int) {
		// From the first batch on: to join a group takes its time.
		once.Do(func() { started = time.Now() })
		if done.Add(int64(n)) == messages {
			close(over)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	var parked atomic.Int64
	if withInbox {
		consumer, err := newBenchConsumer(inboxkafka.Config{
			Brokers: testservers.Kafka(b), Consumer: "bench", GroupID: topic, Topics: []string{topic},
			BatchSize: consumeBatch, MaxAttempts: 1, Hold: inboxkafka.HoldNothing, Logger: slog.New(slog.DiscardHandler),
			Hooks: inboxkafka.Hooks{Committed: func(t inboxkafka.Batch) {
				parked.Add(int64(t.Parked))
				committed(t.Handled + t.Parked)
			}},
		}, pool, style)
		require.NoError(b, err)
		go func() { stopped <- consumer.Run(ctx) }()
	} else {
		go func() {
			stopped <- consumeWithout(ctx, b, topic, pool, effectsOf[style], committed)
		}()
	}
	select {
	case <-over:
	case err := <-stopped:
		b.Fatal(err)
	}
	took := time.Since(started)
	cancel()
	require.NoError(b, <-stopped)
	var effects int
	require.NoError(b, pool.QueryRow(b.Context(), `SELECT count(*) FROM public.effects`).Scan(&effects))
	require.Equal(b, messages-effects, int(parked.Load()))
	return messages / took.Seconds()
}

var errPoison = errors.New("poison")

// insertEffect makes the effect of one message.
const insertEffect = `INSERT INTO public.effects (name) VALUES ($1)`

// effectsOf are handlers of batches by their style. A message that has "poison"
// fails.
var effectsOf = map[string]inbox.BatchHandler{
	"set": func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
		names := make([]string, len(batch))
		for i, m := range batch {
			names[i] = string(m.Value)
			if m.Header("poison") != "" {
				return inbox.FailedAt(i, errPoison)
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO public.effects (name) SELECT unnest($1::text[])`, names)
		return err
	},
	"pipelined": func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
		b := &pgx.Batch{}
		for _, m := range batch {
			b.Queue(insertEffect, string(m.Value))
		}
		return tx.SendBatch(ctx, b).Close()
	},
	"each": func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
		for _, m := range batch {
			if _, err := tx.Exec(ctx, insertEffect, string(m.Value)); err != nil {
				return err
			}
			if m.Header("poison") != "" {
				return errPoison
			}
		}
		return nil
	},
}

func newBenchConsumer(config inboxkafka.Config, pool *pgxpool.Pool, style string) (*inboxkafka.Consumer, error) {
	handle := effectsOf[style]
	if style != "each" {
		return inboxkafka.NewBatchConsumer(config, pool, handle)
	}
	return inboxkafka.NewConsumer(config, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		return handle(ctx, tx, []inbox.Message{m})
	})
}

// fill produces messages of 200 bytes with the headers of a relay, evenly over the partitions.
func fill(b *testing.B, topic string, messages, partitions, poison int) {
	b.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(testservers.Kafka(b)...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(b, err)
	defer client.Close()
	failed := make(chan error, messages)
	for i := range messages {
		r := record(topic, int32(i/100%partitions), fmt.Sprintf("%0200d", i))
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_specversion", Value: []byte("1.0")}, kgo.RecordHeader{Key: "ce_source", Value: []byte("/tandem/bench")},
			kgo.RecordHeader{Key: "ce_type", Value: []byte("bench.event")}, kgo.RecordHeader{Key: "ce_time", Value: []byte("2026-01-02T03:04:05.678Z")})
		if poison > 0 && i%poison == poison/2 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "poison", Value: []byte("yes")})
		}
		client.Produce(b.Context(), r, func(_ *kgo.Record, err error) { failed <- err })
	}
	for range messages {
		require.NoError(b, <-failed)
	}
}
