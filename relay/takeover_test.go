package relay_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// requireDelivered asserts that n different events were published and that each
// lane first saw its events in the order of their positions: what a lost
// connection left in doubt may have been repeated.
func requireDelivered(t testing.TB, m *memory, n int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[int64]bool{}
	for lane, records := range m.records {
		last := int64(0)
		for _, r := range records {
			if !seen[r.Position] {
				require.Greaterf(t, r.Position, last, "lane %s", lane)
				seen[r.Position] = true
				last = r.Position
			}
		}
	}
	require.Len(t, seen, n)
}

// distinct waits until n different events have been published.
func (m *memory) distinct(t testing.TB, n int) {
	t.Helper()
	for {
		seen := map[int64]bool{}
		for _, r := range m.all() {
			seen[r.Position] = true
		}
		if len(seen) >= n {
			return
		}
		select {
		case <-m.changed:
		case <-t.Context().Done():
			t.Fatal("the test was cancelled")
		case <-time.After(30 * time.Second):
			t.Fatalf("%d different events were published, %d expected", len(seen), n)
		}
	}
}

// Its connections are cut, one or the other or both, again and again while
// events are written: nothing is lost and nothing overtakes.
func TestLostConnectionsLoseNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.PageEvents = 100
	start(t, cfg)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeated
	const which = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name LIKE 'tandem relay%' AND `
	sum := 0
	for range 20 {
		n := 10 + random.IntN(400)
		l.fill(t, "orders", n)
		sum += n
		if random.IntN(2) == 0 {
			m.distinct(t, sum-n/2)
		}
		l.int(t, which+[]string{`true`, `(query LIKE '%lease%' OR query LIKE '%checkpoint%')`, `query LIKE '%log%' AND query NOT LIKE '%checkpoint%'`}[random.IntN(3)])
	}
	m.distinct(t, sum)
	requireDelivered(t, m, sum)
}

// A clean stop hands over at once, though the lease would last for a minute.
func TestTheOneThatStandsByTakesOver(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.Lease = time.Minute
	_, stop := start(t, cfg)
	l.fill(t, "orders", 1000)
	m.await(t, 1000)
	second, _ := start(t, cfg)
	l.fill(t, "orders", 1000)
	m.await(t, 2000)
	require.Zero(t, second.Stats().Read)
	require.NoError(t, stop())
	l.fill(t, "orders", 1000)
	m.await(t, 3000)
	requireOrdered(t, m, 3000)
	require.EqualValues(t, 1000, second.Stats().Published)
}

// A relay ended in the middle of a frozen window, some lanes ahead of others.
// The next one resumes it where no gap is, also when more was written since.
func TestAWindowIsResumedWhereItHasNoGap(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(4)
	cfg := l.config(t, m)
	cfg.PageEvents, cfg.BatchEvents = 100, 10
	l.fill(t, "orders", 3000)
	sum := 3000
	refuse, reached := "", make(chan struct{}, 1)
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		for _, e := range events {
			if string(e.Payload) == refuse {
				select {
				case reached <- struct{}{}:
				default:
				}
				return errors.New("no answer")
			}
		}
		return nil
	}
	for _, at := range []string{"17", "555", "1200", "2345"} {
		m.mu.Lock()
		refuse = at
		m.mu.Unlock()
		_, stop := start(t, cfg)
		<-reached
		require.NoError(t, stop())
		select {
		case <-reached:
		default:
		}
		require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.log, (SELECT * FROM tandem.checkpoint ORDER BY save DESC LIMIT 1) AS c
			WHERE payload = $1::text::bytea AND topic = 'orders' AND (position > c.done OR NOT pg_visible_in_snapshot(tx, coalesce(c.cur, c.prev)))`, at))
		l.fill(t, "payments", 50)
		sum += 50
	}
	refuse = ""
	drain(t, cfg)
	requireDelivered(t, m, sum)
	require.Zero(t, drain(t, cfg).Read)
}
