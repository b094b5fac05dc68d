package relay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

var errMissing = &relay.PublishError{Verdict: relay.RefusedTopic, Hint: "create it", Err: errors.New("unknown topic")}

// breakTopic makes a topic missing or forbidden, until mend is called.
func breakTopic(m *memory, topic, how string) (mend func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if how == "forbidden" {
		m.fail = func(to string, _ int, _ []*relay.Event) error {
			if to == topic {
				return errMissing
			}
			return nil
		}
	} else {
		m.layout = func(of string) (int, error) {
			if of == topic {
				return 0, errMissing
			}
			return m.partitions, nil
		}
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.fail, m.layout = nil, nil
	}
}

// A topic is missing, or forbidden: after TopicTimeout its events are set aside
// and the checkpoint goes on; when it is back they flow in order, before and
// after a restart, with what has come meanwhile.
func TestATopicThatCannotBeWrittenToIsSetAsideAndComesBack(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"missing", "forbidden"} {
		for _, back := range []string{"while the relay runs", "before the next one"} {
			t.Run(how+", back "+back, func(t *testing.T) {
				t.Parallel()
				l := newLog(t)
				m := newMemory(2)
				mend := breakTopic(m, "broken", how)
				cfg := l.config(t, m)
				cfg.TopicTimeout = 200 * time.Millisecond
				_, stop := start(t, cfg)
				l.fill(t, "broken", 700)
				l.fill(t, "orders", 1000)
				m.await(t, 1000)
				l.await(t, `SELECT count(*) = 700 FROM tandem.parked WHERE state = 'deferred' AND reason LIKE '%unknown topic%'`)
				l.fill(t, "broken", 100)
				l.await(t, `SELECT count(*) = 800 FROM tandem.deferred`)
				if back == "while the relay runs" {
					mend()
				} else {
					require.NoError(t, stop())
					mend()
					_, stop = start(t, cfg)
				}
				l.fill(t, "broken", 100)
				m.await(t, 1900)
				require.NoError(t, stop())
				require.Empty(t, l.setAside(t))
				requireOrderedByKey(t, m, "broken", 900)
				requireOrderedByKey(t, m, "orders", 1000)
			})
		}
	}
}

// --until-empty ends although a topic is missing, and the next run sends what
// was set aside.
func TestUntilEmptySetsAsideWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	mend := breakTopic(m, "broken", "missing")
	l.fill(t, "broken", 100)
	l.fill(t, "orders", 100)
	cfg := l.config(t, m)
	cfg.TopicTimeout = 100 * time.Millisecond
	require.EqualValues(t, 100, drain(t, cfg).Deferred)
	require.Zero(t, drain(t, cfg).Published)
	mend()
	require.EqualValues(t, 100, drain(t, cfg).Released)
	require.Empty(t, l.setAside(t))
	requireOrderedByKey(t, m, "broken", 100)
}

// One partition has no leader: its events are set aside once others have been
// served for a while, and those of the other partitions go on.
func TestAPartitionThatCannotBeWrittenToIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(4)
	broken := true
	m.fail = func(_ string, partition int, _ []*relay.Event) error {
		if partition == 2 && broken {
			return errors.New("no leader")
		}
		return nil
	}
	cfg := l.config(t, m)
	cfg.TopicTimeout = 200 * time.Millisecond
	_, stop := start(t, cfg)
	for n := 0; l.int(t, `SELECT count(*) FROM tandem.deferred`) == 0; n++ {
		require.Less(t, n, 1000)
		l.fill(t, "orders", 100)
	}
	l.fill(t, "orders", 1000)
	l.await(t, `SELECT count(*) > 200 AND count(DISTINCT lane) = 1 FROM tandem.deferred`)
	sum := l.int(t, `SELECT count(*) FROM tandem.log`)
	require.Eventually(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.count+l.int(t, `SELECT count(*) FROM tandem.deferred`) == sum
	}, 30*time.Second, 20*time.Millisecond)
	m.mu.Lock()
	broken = false
	m.mu.Unlock()
	l.fill(t, "orders", 100)
	m.await(t, sum+100)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
	requireOrderedByKey(t, m, "orders", sum+100)
}

// The whole broker is away: events wait in the log, and nothing is set aside.
func TestAnOutageOfTheBrokerSetsNothingAside(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	var since time.Time
	m.fail = func(string, int, []*relay.Event) error {
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < time.Second {
			return errors.New("no answer")
		}
		return nil
	}
	cfg := l.config(t, m)
	cfg.TopicTimeout = 100 * time.Millisecond
	l.fill(t, "orders", 1000)
	l.fill(t, "payments", 1000)
	stats := drain(t, cfg)
	require.Zero(t, stats.Deferred)
	requireOrderedByKey(t, m, "orders", 1000)
	requireOrderedByKey(t, m, "payments", 1000)
}

// What was on its way when an outage began is still acknowledged: that one lane
// is served once does not mean that the others are.
func TestAnOutageThatBeginsWithAnAcknowledgementSetsNothingAside(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(4)
	var since time.Time
	served := false
	m.fail = func(_ string, partition int, _ []*relay.Event) error {
		switch {
		case since.IsZero():
			since = time.Now()
		case !served && time.Since(since) > 100*time.Millisecond && partition == 3:
			served = true
			return nil
		case served && time.Since(since) > 2*time.Second:
			return nil
		}
		return errors.New("no answer")
	}
	cfg := l.config(t, m)
	cfg.TopicTimeout = 500 * time.Millisecond
	cfg.BatchEvents = 100
	l.fill(t, "orders", 2000)
	stats := drain(t, cfg)
	require.True(t, served)
	require.Zero(t, stats.Deferred)
	requireOrderedByKey(t, m, "orders", 2000)
}
