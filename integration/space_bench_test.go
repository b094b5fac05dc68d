package integration_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// BenchmarkIdle is what a relay costs that has nothing to do: its share of a core,
// and its statements a second.
func BenchmarkIdle(b *testing.B) {
	s := newShop(b, 6)
	command := s.startRelay(b, program(b, "tandem"), "--lease", "5s")
	require.Eventually(b, func() bool { return s.int(b, `SELECT count(*) FROM tandem.lease WHERE expires_at > now()`) == 1 }, time.Minute, 10*time.Millisecond)
	wait(b, 15*time.Second)
	// Every statement of a relay is a transaction; the server tells them after a second.
	transactions := func() int {
		return s.int(b, `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`)
	}
	const lasting = 30 * time.Second
	cpu, statements := processTime(b, command.Process.Pid), transactions()
	wait(b, lasting)
	b.ReportMetric(100*(processTime(b, command.Process.Pid)-cpu).Seconds()/lasting.Seconds(), "%-of-a-core")
	b.ReportMetric(float64(transactions()-statements)/lasting.Seconds(), "statements/s")
}

func wait(b *testing.B, d time.Duration) {
	b.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.Context().Done():
	}
}

// processTime is the processor time that a process has used.
func processTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(b, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}

// BenchmarkHeldSnapshot empties a million events without and with another
// session's snapshot held open since before they were written, in turn.
func BenchmarkHeldSnapshot(b *testing.B) {
	d := newDrain(b)
	var free, held []float64
	for range drainRounds {
		rate, _ := d.relay()
		free = append(free, rate)
		conn, err := pgx.Connect(b.Context(), d.url)
		require.NoError(b, err)
		tx, err := conn.BeginTx(b.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
		require.NoError(b, err)
		_, err = tx.Exec(b.Context(), `SELECT count(*) FROM pg_class`)
		require.NoError(b, err)
		rate, _ = d.relay()
		held = append(held, rate)
		require.NoError(b, conn.Close(b.Context()))
		b.Logf("events/s: free %.0f, with a snapshot held %.0f", free[len(free)-1], held[len(held)-1])
	}
	b.ReportMetric(median(free), "free-events/s")
	b.ReportMetric(median(held), "held-events/s")
	b.ReportMetric(median(held)/median(free), "held/free")
}

// BenchmarkSpace sends five million events through the ring while they are
// written, and looks at what is left: dead rows, and bytes on disk.
func BenchmarkSpace(b *testing.B) {
	d := newDrain(b)
	size := func() int {
		var bytes int
		require.NoError(b, d.pool.QueryRow(b.Context(), `SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'tandem.log'::regclass`).Scan(&bytes))
		return bytes
	}
	floor, most, dead := size(), 0, 0
	for range 5 {
		d.relayAfter(func() {
			most = max(most, size())
			var n int
			require.NoError(b, d.pool.QueryRow(b.Context(), `SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables WHERE relname LIKE 'log\_%'`).Scan(&n))
			dead = max(dead, n)
		})
	}
	b.ReportMetric(float64(dead), "dead-tuples")
	b.ReportMetric(float64(floor)/1e6, "floor-MB")
	b.ReportMetric(float64(most)/1e6, "most-MB")
	b.ReportMetric(float64(size())/1e6, "left-MB")
}
