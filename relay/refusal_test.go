package relay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// Every third request fails for a while: after a plain error and after one that
// says so, the same events are sent again before any later one of their lane.
func TestRetriableErrorsAreRetriedInPlace(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.fill(t, "orders", 5000)
	m := newMemory(4)
	var requests, failed int
	m.fail = func(string, int, []*relay.Event) error {
		requests++
		if requests%3 != 0 || failed == 15 {
			return nil
		}
		failed++
		if failed%2 == 0 {
			return &relay.PublishError{Verdict: relay.Retry, Err: errors.New("not enough replicas")}
		}
		return errors.New("connection reset")
	}
	cfg := l.config(t, m)
	cfg.BatchEvents = 100
	stats := drain(t, cfg)
	requireOrdered(t, m, 5000)
	require.EqualValues(t, failed, stats.Retries)
	require.EqualValues(t, 15, failed)
}

// After an outage that was longer than TopicTimeout a broker may not know its
// topics for a moment: that is not a missing topic yet.
func TestAnOutageDoesNotCountAsAMissingTopic(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"partitions", "publish"} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			l.add(t, "orders", "k", "1")
			m := newMemory(1)
			cfg := l.config(t, m)
			cfg.TopicTimeout = 200 * time.Millisecond
			var began time.Time
			refusals := 0
			answer := func() error {
				if began.IsZero() {
					began = time.Now()
				}
				if time.Since(began) < 2*cfg.TopicTimeout {
					return errors.New("no broker answers")
				}
				if refusals++; refusals == 1 {
					return &relay.PublishError{Verdict: relay.RefusedTopic, Err: errors.New("unknown topic")}
				}
				return nil
			}
			if asked == "partitions" {
				m.layout = func(string) (int, error) { return 1, answer() }
			} else {
				m.fail = func(string, int, []*relay.Event) error { return answer() }
			}
			stats := drain(t, cfg)
			require.Equal(t, []string{"1"}, payloads(m.all()))
			require.Zero(t, stats.Deferred)
		})
	}
}

// A topic whose partitions are not known yet keeps its events, in order, and
// the question is asked again soon.
func TestEventsWaitForTheNumberOfPartitions(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.PageEvents = 100
	best := time.Hour // of some attempts, because the machine may be busy
	for attempt := 1; best > 4*time.Second && attempt <= 5; attempt++ {
		asked, failed := 0, time.Time{}
		m.layout = func(string) (int, error) {
			switch asked++; {
			case asked == 1:
				failed = time.Now()
			case asked == 2:
				best = min(best, time.Since(failed))
			case asked > 5:
				return 3, nil
			}
			return 0, errors.New("no broker answers")
		}
		l.fill(t, "orders", 2000)
		drain(t, cfg)
		requireOrdered(t, m, attempt*2000)
	}
	require.Less(t, best, 4*time.Second, "the first question after a failure is late")
}

// A topic grows while its lanes have events that the broker does not take for a
// while: no key is out of order over the change, and an event that chose one of the
// new partitions itself waits until they are known.
func TestAGrowingTopicKeepsTheOrderOfEveryKey(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	var seen []record // in the order of publishing, over all lanes
	failing, failures := true, 0
	m.fail = func(_ string, partition int, events []*relay.Event) error {
		if partition < 2 && failing {
			failures++
			return errors.New("no answer")
		}
		for _, e := range events {
			seen = append(seen, record{Key: string(e.Key), Position: e.Position})
		}
		return nil
	}
	locked := func(look func() bool) func() bool {
		return func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return look()
		}
	}
	eventually := func(what string, is func() bool) {
		require.Eventually(t, is, 30*time.Second, time.Millisecond, what)
	}
	r, stop := start(t, l.config(t, m))
	l.fill(t, "orders", 1000)
	eventually("events are under way", locked(func() bool { return failures > 0 }))
	m.mu.Lock()
	m.partitions = 5
	m.mu.Unlock()
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, partition) VALUES ('orders', 'chosen', 'chosen', 4)`)
	l.fill(t, "orders", 1000)
	eventually("all is read", func() bool { return r.Stats().Read == 2001 })
	// Some more attempts are time enough for what would go to the new lanes at once.
	more := 0
	eventually("the lanes fail again", locked(func() bool {
		if more == 0 {
			more = failures + 4
		}
		failing = failures < more
		return !failing
	}))
	m.await(t, 2001)
	require.NoError(t, stop())
	require.Len(t, m.all(), 2001)
	require.Contains(t, payloads(m.records["orders/4"]), "chosen")
	last := map[string]int64{}
	for _, r := range seen {
		require.Greater(t, r.Position, last[r.Key], "key %s", r.Key)
		last[r.Key] = r.Position
	}
}

// An event that asks for a partition which does not come to be is parked.
func TestAnEventForAPartitionThatDoesNotExistIsParked(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, partition) VALUES ('orders', 'k', '2', 9)`)
	l.add(t, "orders", "k", "3")
	l.add(t, "orders", "other", "4")
	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.TopicTimeout = 200 * time.Millisecond
	drain(t, cfg)
	require.ElementsMatch(t, []string{"1", "4"}, payloads(m.all()))
	require.Equal(t, []string{"2 parked", "3 held"}, l.setAside(t))
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.parked WHERE reason LIKE '%partition 9%'`))
}
