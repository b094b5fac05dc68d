package integration_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// BenchmarkRetention empties a leaf of five million ids while two sessions apply
// overlapping batches. It reports what a batch takes at the most, with and without
// the maintenance, and how long one of them waited for the lock of a table, which
// is what maintenance could do to it: more than 10 ms is a failure. (They wait for
// one another too, for a row.)
func BenchmarkRetention(b *testing.B) {
	s := newInboxStore(b)
	s.fill(b, 5_000_000, "tandem.inbox_floor_time()", "tandem.inbox_floor_time() + interval '6 days'")
	for b.Loop() { // once: make bench has -benchtime 1x
		stop := s.overlapping(b)
		wait(b, 5*time.Second)
		longest, n := stop()
		b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-batch-before")
		b.ReportMetric(float64(n)/5, "batches/s-before")

		s.exec(b, `UPDATE tandem.inbox_bounds SET retention = '1 day'`)
		stop, blocked := s.overlapping(b), s.watchLocks(b)
		wait(b, time.Second)
		began, emptied := time.Now(), 0
		require.NoError(b, s.pool.QueryRow(b.Context(), `SELECT emptied FROM tandem.maintain_inbox()`).Scan(&emptied))
		took := time.Since(began)
		wait(b, time.Second)
		longest, _ = stop()
		require.Equal(b, 1, emptied)
		waited := blocked()
		require.LessOrEqual(b, waited, 10*time.Millisecond)
		b.ReportMetric(float64(took.Microseconds())/1000, "ms-retention")
		b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-batch-during")
		b.ReportMetric(float64(waited.Microseconds())/1000, "ms-blocked")
	}
}

// watchLocks looks again and again for how long batches wait for the lock of a
// table, until the longest such wait is asked for.
func (s *inboxStore) watchLocks(b *testing.B) (longest func() time.Duration) {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), s.url)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan time.Duration)
	go func() {
		defer conn.Close(context.Background())
		var most float64
		for ctx.Err() == nil {
			var seconds float64
			if err := conn.QueryRow(context.Background(), `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float
				FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
				WHERE a.application_name = 'batch' AND l.locktype = 'relation' AND NOT l.granted`).Scan(&seconds); err != nil {
				b.Error(err)
				break
			}
			most = max(most, seconds)
		}
		result <- time.Duration(most * float64(time.Second))
	}()
	return func() time.Duration { cancel(); return <-result }
}

// BenchmarkTenMillion is the rate of batches of 100 at ten million ids in the
// inbox, which are of the last two weeks, and at a hundred thousand, in turn.
func BenchmarkTenMillion(b *testing.B) {
	const size, batches, rounds = 100, 100, 15
	type side struct {
		*inboxStore
		conn  *pgx.Conn
		rates []float64
	}
	var sides []*side
	for _, n := range []int{100_000, 10_000_000} {
		s := newInboxStore(b)
		s.fill(b, n, "now() - interval '13 days'", "now()")
		conn, err := pgx.Connect(b.Context(), s.url)
		require.NoError(b, err)
		b.Cleanup(func() { conn.Close(b.Context()) })
		sides = append(sides, &side{inboxStore: s, conn: conn})
	}
	for b.Loop() {
		for round := range rounds + 1 {
			for _, s := range sides {
				began := time.Now()
				for range batches {
					require.NoError(b, s.batch(b.Context(), s.conn, newIDs(size)))
				}
				if round > 0 { // the first one warms up
					s.rates = append(s.rates, size*batches/time.Since(began).Seconds())
				}
			}
		}
	}
	median := func(rates []float64) float64 {
		slices.Sort(rates)
		return rates[len(rates)/2]
	}
	small, large := median(sides[0].rates), median(sides[1].rates)
	b.ReportMetric(small, "msg/s-at-100k")
	b.ReportMetric(large, "msg/s-at-10M")
	b.ReportMetric(large/small, "ratio")
}
