package relay_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// The transaction that began first writes the key second: by transaction id the
// two events would be swapped.
func TestOverlappingTransactionsKeepTheOrderOfTheirWriters(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	_, stop := start(t, l.config(t, m))

	first, err := l.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = first.Exec(t.Context(), `SELECT pg_current_xact_id()`)
	require.NoError(t, err)
	l.add(t, "orders", "k", "1")
	_, err = first.Exec(t.Context(), `SELECT tandem.add('orders', '2', 'k')`)
	require.NoError(t, err)
	require.NoError(t, first.Commit(t.Context()))
	l.add(t, "orders", "k", "3")

	m.await(t, 3)
	require.NoError(t, stop())
	require.Equal(t, []string{"1", "2", "3"}, payloads(m.all()))
}

// The same, found in one window: the relay starts when all is committed.
func TestAWindowIsNotOrderedByTransaction(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	first, err := l.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = first.Exec(t.Context(), `SELECT pg_current_xact_id()`)
	require.NoError(t, err)
	l.add(t, "orders", "k", "1")
	_, err = first.Exec(t.Context(), `SELECT tandem.add('orders', '2', 'k')`)
	require.NoError(t, err)
	require.NoError(t, first.Commit(t.Context()))

	m := newMemory(1)
	drain(t, l.config(t, m))
	require.Equal(t, []string{"1", "2"}, payloads(m.all()))
}

func TestABacklogIsReadInPagesAndReclaimed(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	const n = 300_000 // more than two leaves
	l.fill(t, "orders", n)
	m := newMemory(6)
	stats := drain(t, l.config(t, m))
	require.EqualValues(t, n, stats.Published)
	requireOrdered(t, m, n)
	require.EqualValues(t, 2, stats.Reclaimed)
	require.Less(t, l.int(t, `SELECT count(*) FROM tandem.log`), 1<<17)

	drain(t, l.config(t, m))
	require.Len(t, m.all(), n, "a second relay finds nothing to do")
}

// A writer that stays open for the whole run holds nobody up, and its own event
// comes when it commits.
func TestAHeldTransactionHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	held, err := l.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = held.Rollback(context.Background()) }()
	_, err = held.Exec(t.Context(), `SELECT tandem.add('orders', 'held', 'held')`)
	require.NoError(t, err)

	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.PageEvents = 100 // so that there are frozen windows too
	_, stop := start(t, cfg)
	for i := range 20 {
		l.fill(t, "orders", 10+i*20)
		l.add(t, "orders", "other", strconv.Itoa(i))
	}
	sum := 20*10 + 190*20 + 20
	m.await(t, sum)
	require.Len(t, m.all(), sum)
	require.NoError(t, held.Commit(t.Context()))
	m.await(t, sum+1)
	require.NoError(t, stop())
	require.Len(t, m.all(), sum+1)
}

func TestAPlannedRestartRepeatsNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(4)
	sum := 0
	for range 10 {
		_, stop := start(t, l.config(t, m))
		l.fill(t, "orders", 5000)
		sum += 5000
		m.await(t, sum-2500)
		require.NoError(t, stop())
	}
	drain(t, l.config(t, m))
	require.Len(t, m.all(), sum)
}

func payloads(records []record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = r.Payload
	}
	return out
}

// requireOrdered asserts that exactly n events were published, none twice, and
// each lane in the order of its positions.
func requireOrdered(t testing.TB, m *memory, n int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[int64]bool{}
	for lane, records := range m.records {
		last := int64(0)
		for _, r := range records {
			require.Falsef(t, seen[r.Position], "position %d twice", r.Position)
			require.Greaterf(t, r.Position, last, "lane %s", lane)
			seen[r.Position] = true
			last = r.Position
		}
	}
	require.Len(t, seen, n)
}
