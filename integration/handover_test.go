package integration_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// newTimedShop has a topic of one partition whose records bear the time at which
// they were appended.
func newTimedShop(t testing.TB) *shop {
	t.Helper()
	brokers := testservers.Kafka(t)
	return openShop(t, testservers.Migrated(t), brokers, topicWith(t, "message.timestamp.type", "LogAppendTime"))
}

// steadily commits an event every 5 ms until stop is called, which waits for the
// last one.
func (s *shop) steadily(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if err := s.place(context.WithoutCancel(ctx), []string{"steady"}, 0, true); err != nil {
				t.Errorf("place: %v", err)
				return
			}
		}
	})
	return func() { cancel(); writing.Wait() }
}

// span is a stretch of time in which something was done to a relay, or nothing.
type span struct{ from, to time.Time }

// silence is the longest time in a span without a record.
func silence(records []*kgo.Record, in span) time.Duration {
	last, longest := in.from, time.Duration(0)
	for _, r := range records {
		if r.Timestamp.Before(in.from) || r.Timestamp.After(in.to) {
			continue
		}
		longest, last = max(longest, r.Timestamp.Sub(last)), r.Timestamp
	}
	return max(longest, in.to.Sub(last))
}

// takeOver runs two relays under a steady stream of events and three times ends
// the one that works. It returns the silence of each take-over, and logs that of
// stretches in which nothing was done.
func (s *shop) takeOver(t testing.TB, end func(*relayProcess), flags ...string) []time.Duration {
	t.Helper()
	binary := program(t, "tandem")
	worker := s.startRelay(t, binary, flags...)
	worker.awaitLog(t, "msg=relaying")
	stop := s.steadily(t)
	var calm, disturbed []span
	for range 3 {
		standby := s.startRelay(t, binary, flags...)
		standby.awaitLog(t, "standing by")
		from := time.Now()
		s.awaitTopic(t, s.inTopic(t)+100)
		between := time.Now()
		calm = append(calm, span{from, between})
		end(worker)
		standby.awaitLog(t, "msg=relaying")
		s.awaitTopic(t, s.inTopic(t)+20)
		disturbed = append(disturbed, span{between, time.Now()})
		worker = standby
	}
	stop()
	s.awaitTopic(t, s.events())
	records := readPartition(t, s.brokers, s.topic, 0, s.inTopic(t))
	var silences, undisturbed []time.Duration
	for i := range disturbed {
		silences = append(silences, silence(records, disturbed[i]))
		undisturbed = append(undisturbed, silence(records, calm[i]))
	}
	t.Logf("without a record: %v, while nothing was done: %v", silences, undisturbed)
	return silences
}

// soonest is the shortest silence of take-overs, three at a time until one is
// below the limit: the machine may be busy, but not always.
func soonest(t testing.TB, limit time.Duration, takeOver func() []time.Duration) time.Duration {
	t.Helper()
	best := slices.Min(takeOver())
	for range 3 {
		if best < limit {
			break
		}
		best = min(best, slices.Min(takeOver()))
	}
	return best
}

// A relay that is told to stop hands over within half a second, and nothing is
// repeated.
func TestACleanStopHandsOverAtOnce(t *testing.T) {
	const limit = 500 * time.Millisecond
	require.Less(t, soonest(t, limit, func() []time.Duration {
		s := newTimedShop(t)
		silences := s.takeOver(t, func(r *relayProcess) {
			require.NoError(t, r.Process.Signal(syscall.SIGTERM))
			require.NoError(t, r.Wait())
		}, "--lease", "10s")
		require.Zero(t, s.read(t).repeats)
		return silences
	}), limit)
}

// A relay that is killed is replaced when its lease has run out, which the
// standby sees at its next look.
func TestAKilledRelayIsReplacedWithinItsLease(t *testing.T) {
	const lease, look = 2 * time.Second, 250 * time.Millisecond
	require.Less(t, soonest(t, lease+look, func() []time.Duration {
		s := newTimedShop(t)
		silences := s.takeOver(t, func(r *relayProcess) {
			require.NoError(t, r.Process.Kill())
			require.Error(t, r.Wait())
		}, "--lease", lease.String())
		require.Greater(t, slices.Max(silences), lease/2, "the lease was not waited for")
		s.read(t)
		return silences
	}), lease+look)
}

// Relays are started with the same configuration on one host: nothing of theirs
// clashes.
func TestRelaysOfOneConfigurationStartOnOneHost(t *testing.T) {
	t.Parallel()
	s := newShop(t, 1)
	binary := program(t, "tandem")
	file := t.TempDir() + "/tandem.yaml"
	require.NoError(t, os.WriteFile(file, []byte("http-addr: 127.0.0.1:0\nlog-format: json\n"), 0o600))
	relays := []*relayProcess{s.startRelay(t, binary, "--config", file)}
	relays[0].awaitLog(t, "relaying")
	relays = append(relays, s.startRelay(t, binary, "--config", file), s.startRelay(t, binary, "--config", file))
	for _, r := range relays {
		r.awaitLog(t, "serving health")
	}
	relays[1].awaitLog(t, "standing by")
	relays[2].awaitLog(t, "standing by")
	for _, r := range relays {
		require.NoError(t, r.Process.Signal(syscall.SIGTERM))
	}
	for _, r := range relays {
		require.NoError(t, r.Wait())
	}
}
