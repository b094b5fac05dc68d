package relay_test

import (
	"errors"
	"fmt"
	"slices"
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

// One event of a big batch is refused. What stood before it in its lane is
// published and saved, nothing behind it is; the error names it. Once it may
// pass, or is gone, the next relay goes on behind it, and nothing is repeated.
func TestARefusedEventStopsTheRelayAndIsNamed(t *testing.T) {
	t.Parallel()
	for _, remedy := range []string{"the broker accepts it", "it is deleted"} {
		t.Run(remedy, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			l.fill(t, "orders", 1000)
			m := newMemory(1)
			m.fail = func(_ string, _ int, events []*relay.Event) error {
				if slices.ContainsFunc(events, func(e *relay.Event) bool { return string(e.Payload) == "700" }) {
					return &relay.PublishError{Verdict: relay.RefusedRecords, Hint: "make it smaller", Err: errors.New("too large")}
				}
				return nil
			}
			err := relay.Run(t.Context(), l.config(t, m))
			var refused *relay.RefusedError
			require.ErrorAs(t, err, &refused)
			position := l.int(t, `SELECT position FROM tandem.log WHERE payload = '700'`)
			var id string
			require.NoError(t, l.pool.QueryRow(t.Context(), `SELECT id FROM tandem.log WHERE payload = '700'`).Scan(&id))
			require.Equal(t, relay.RefusedError{ID: id, Topic: "orders", Partition: 0, Key: "k0", Position: int64(position), Err: refused.Err}, *refused)
			require.ErrorContains(t, err, id)
			require.ErrorContains(t, err, "make it smaller")
			requireOrdered(t, m, 699)
			require.Equal(t, position-1, l.int(t, `SELECT done FROM tandem.checkpoint ORDER BY save DESC LIMIT 1`))
			require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.lease WHERE expires_at <= now()`), "the lease was kept")

			want := 1000
			if remedy == "it is deleted" {
				l.exec(t, `DELETE FROM tandem.log WHERE payload = '700'`)
				want = 999
			} else {
				m.fail = nil
			}
			drain(t, l.config(t, m))
			requireOrdered(t, m, want)
		})
	}
}

// A topic that does not exist ends the relay after TopicTimeout; until then the
// other topics go on.
func TestAMissingTopicIsNamedAfterAWhile(t *testing.T) {
	t.Parallel()
	missing := &relay.PublishError{Verdict: relay.RefusedTopic, Hint: "create it", Err: errors.New("unknown topic")}
	for _, found := range []string{"when its partitions are asked for", "when it is written to"} {
		t.Run(found, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			m := newMemory(2)
			if found == "when it is written to" {
				m.fail = func(topic string, _ int, _ []*relay.Event) error {
					if topic == "missing" {
						return missing
					}
					return nil
				}
			} else {
				m.layout = func(topic string) (int, error) {
					if topic == "missing" {
						return 0, missing
					}
					return 2, nil
				}
			}
			l.add(t, "missing", "k", "1")
			l.fill(t, "orders", 1000)
			cfg := l.config(t, m)
			cfg.TopicTimeout = 700 * time.Millisecond
			began := time.Now()
			err := relay.Run(t.Context(), cfg)
			var refused *relay.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, "missing", refused.Topic)
			require.ErrorContains(t, err, "create it")
			require.GreaterOrEqual(t, time.Since(began), cfg.TopicTimeout)
			require.Less(t, time.Since(began), 20*time.Second)
			requireOrdered(t, m, 1000)

			m.fail, m.layout = nil, nil
			drain(t, l.config(t, m))
			require.GreaterOrEqual(t, len(m.records["missing/0"])+len(m.records["missing/1"]), 1)
		})
	}
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
			drain(t, cfg)
			require.Equal(t, []string{"1"}, payloads(m.all()))
		})
	}
}

// A topic whose partitions are not known yet keeps its events, in order, and
// the question is asked again soon.
func TestEventsWaitForTheNumberOfPartitions(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.fill(t, "orders", 2000)
	m := newMemory(3)
	asked := 0
	m.layout = func(string) (int, error) {
		if asked++; asked <= 5 {
			return 0, errors.New("no broker answers")
		}
		return 3, nil
	}
	cfg := l.config(t, m)
	cfg.PageEvents = 100
	began := time.Now()
	drain(t, cfg)
	require.Less(t, time.Since(began), 5*time.Second, "the first question after a failure was late")
	requireOrdered(t, m, 2000)
}

// A topic grows while events are under way and lanes are slow: no key is out of
// order over the change, and an event that chose one of the new partitions
// itself waits until they are known.
func TestAGrowingTopicKeepsTheOrderOfEveryKey(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	var seen []record // in the order of publishing, over all lanes
	m.fail = func(_ string, partition int, events []*relay.Event) error {
		if partition >= m.partitions {
			return fmt.Errorf("no partition %d", partition)
		}
		for _, e := range events {
			seen = append(seen, record{Key: string(e.Key), Position: e.Position})
		}
		return nil
	}
	cfg := l.config(t, m)
	_, stop := start(t, cfg)
	l.fill(t, "orders", 1000)
	m.await(t, 1000)
	m.mu.Lock()
	m.partitions = 5
	m.mu.Unlock()
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, partition) VALUES ('orders', 'chosen', 'chosen', 4)`)
	l.fill(t, "orders", 1000)
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

func TestAPartitionThatDoesNotExistIsNamedAfterAWhile(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, partition) VALUES ('orders', 'k', '2', 9)`)
	l.add(t, "orders", "k", "3")
	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.TopicTimeout = 200 * time.Millisecond
	err := relay.Run(t.Context(), cfg)
	var refused *relay.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 9, refused.Partition)
	require.ErrorContains(t, err, "partition 9")
	require.Equal(t, []string{"1"}, payloads(m.all()), "what stood before it was not published, or what stands behind it was")
}
