package integration_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// BenchmarkSteady writes 1,000 events a second, each in a transaction of its own,
// and measures from the return of COMMIT until the broker has acknowledged the
// event. An open loop: writers keep their schedule whatever the relay does.
func BenchmarkSteady(b *testing.B) {
	s := newShop(b, 6)
	clock := newStopwatch()
	s.relayWith(b, clock.acknowledged)
	s.pace(b, clock, 1000, 1, 20*time.Second, func(int) string { return s.topic })
	clock.report(b, s.topic, "")
}

// BenchmarkOneOfTwoTopicsMissing writes 5,000 events a second in transactions of
// ten, half of them to another topic: first to one that exists, then to one that
// does not. What happens to the first topic's rate and latency meanwhile?
func BenchmarkOneOfTwoTopicsMissing(b *testing.B) {
	s := newShop(b, 6)
	for name, other := range map[string]string{"both-exist": testservers.Topic(b, 6), "one-missing": s.topic + "-missing"} {
		b.Run(name, func(b *testing.B) {
			clock := newStopwatch()
			stop := s.relayWith(b, clock.acknowledged)
			s.pace(b, clock, 5000, 10, 20*time.Second, func(n int) string {
				if n%2 == 0 {
					return s.topic
				}
				return other
			})
			clock.report(b, s.topic, "")
			b.ReportMetric(float64(s.int(b, `SELECT count(*) FROM tandem.deferred`)), "set-aside")
			stop()
			_, err := s.pool.Exec(b.Context(), `TRUNCATE tandem.deferred`)
			require.NoError(b, err)
		})
	}
}

// relayWith runs a relay in this process that tells what is acknowledged.
func (s *shop) relayWith(b *testing.B, acknowledged func(string, int, []*relay.Event, time.Duration)) (stop func()) {
	b.Helper()
	publisher, err := relaykafka.New(relaykafka.Config{Brokers: s.brokers, Source: "/tandem/bench", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	config, err := pgx.ParseConfig(s.url)
	require.NoError(b, err)
	r, err := relay.New(relay.Config{Database: config, Publisher: publisher, Logger: slog.New(slog.DiscardHandler), Hooks: relay.Hooks{Acknowledged: acknowledged}})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(b, <-done)
		require.NoError(b, publisher.Close())
	})
	b.Cleanup(stop)
	require.Eventually(b, func() bool { return r.State() == relay.Relaying }, 30*time.Second, 10*time.Millisecond)
	return stop
}

// pace writes events at a rate for a while, so many in a transaction, and waits
// until those of the shop's own topic are acknowledged.
func (s *shop) pace(b *testing.B, clock *stopwatch, rate, each int, lasting time.Duration, topicOf func(int) string) {
	b.Helper()
	const writers = 8
	total := int(lasting.Seconds()) * rate / each
	step := time.Second * time.Duration(each) / time.Duration(rate)
	began := time.Now()
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := w; n < total; n += writers {
				timer := time.NewTimer(time.Until(began.Add(time.Duration(n) * step)))
				<-timer.C
				events := make([]outbox.Event, each)
				for i := range events {
					events[i] = outbox.Event{ID: outbox.NewID(), Topic: topicOf(n*each + i), Key: fmt.Sprint("k", n%1000), Payload: make([]byte, 200)}
				}
				if err := pgx.BeginFunc(b.Context(), s.pool, func(tx pgx.Tx) error { return outbox.Add(b.Context(), tx, events...) }); err != nil {
					b.Errorf("write: %v", err)
					return
				}
				clock.committed(events)
			}
		})
	}
	writing.Wait()
	clock.wrote = time.Since(began)
	require.Eventually(b, func() bool { return clock.waiting(s.topic) == 0 }, time.Minute, 10*time.Millisecond)
}

// stopwatch takes the time between an event's commit and its acknowledgement.
type stopwatch struct {
	wrote time.Duration

	mu       sync.Mutex
	commits  map[string]time.Time
	acks     map[string]time.Time
	missing  map[string]int // committed and not acknowledged, by topic
	latency  map[string][]time.Duration
	last     map[string]time.Time
	topicsOf map[string]string
}

func newStopwatch() *stopwatch {
	return &stopwatch{
		commits: map[string]time.Time{}, acks: map[string]time.Time{}, missing: map[string]int{},
		latency: map[string][]time.Duration{}, last: map[string]time.Time{}, topicsOf: map[string]string{},
	}
}

func (c *stopwatch) committed(events []outbox.Event) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range events {
		if at, ok := c.acks[e.ID]; ok { // it was faster than COMMIT's return
			c.latency[e.Topic] = append(c.latency[e.Topic], max(0, at.Sub(now)))
			delete(c.acks, e.ID)
			continue
		}
		c.commits[e.ID] = now
		c.missing[e.Topic]++
	}
}

func (c *stopwatch) acknowledged(topic string, _ int, events []*relay.Event, _ time.Duration) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last[topic] = now
	for _, e := range events {
		id := fmt.Sprintf("%x-%x-%x-%x-%x", e.ID[:4], e.ID[4:6], e.ID[6:8], e.ID[8:10], e.ID[10:])
		at, ok := c.commits[id]
		if !ok {
			c.acks[id] = now
			continue
		}
		delete(c.commits, id)
		c.missing[topic]--
		c.latency[topic] = append(c.latency[topic], now.Sub(at))
	}
}

func (c *stopwatch) waiting(topic string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missing[topic]
}

// report tells the percentiles, and logs the histogram.
func (c *stopwatch) report(b *testing.B, topic, prefix string) {
	b.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Sorted(slices.Values(c.latency[topic]))
	require.NotEmpty(b, all)
	at := func(share float64) float64 {
		return float64(all[min(len(all)-1, int(share*float64(len(all))))].Microseconds()) / 1000
	}
	b.ReportMetric(float64(len(all))/c.wrote.Seconds(), prefix+"events/s")
	for name, share := range map[string]float64{"p50-ms": 0.5, "p90-ms": 0.9, "p99-ms": 0.99, "p99.9-ms": 0.999, "max-ms": 1} {
		b.ReportMetric(at(share), prefix+name)
	}
	var histogram strings.Builder
	from := 0
	for bound := time.Millisecond; from < len(all); bound = bound * 3 / 2 {
		to, _ := slices.BinarySearch(all, bound)
		fmt.Fprintf(&histogram, "\n  < %9v %7d", bound.Round(10*time.Microsecond), to-from)
		from = to
	}
	b.Logf("commit to acknowledged, %d events:%s", len(all), histogram.String())
}
