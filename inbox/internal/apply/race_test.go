package apply_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// race lets the contestants run in turns, a second each and eleven rounds, and
// reports the median of each one's messages a second, and that against the
// first's.
func race(b *testing.B, admin *pgxpool.Pool, contestants []contestant) {
	b.Helper()
	const rounds, turn = 11, time.Second
	rates := make([][]float64, len(contestants))
	for range b.N {
		for round := range rounds + 1 {
			for i, c := range contestants {
				n, taken := 0, time.Duration(0)
				for taken < turn {
					batch := fresh(c.size)
					started := time.Now()
					require.NoError(b, c.run(batch))
					taken += time.Since(started)
					n += c.size
				}
				if round > 0 { // the first one warms up
					rates[i] = append(rates[i], float64(n)/taken.Seconds())
				}
			}
			_, err := admin.Exec(b.Context(), `TRUNCATE app.effects`)
			require.NoError(b, err)
		}
	}
	median := func(r []float64) float64 {
		slices.Sort(r)
		return r[len(r)/2]
	}
	first := median(rates[0])
	for i, c := range contestants {
		m := median(rates[i])
		b.ReportMetric(m, unit(c.name)+"/s")
		if i > 0 {
			b.ReportMetric(first/m, "x-"+unit(c.name))
		}
		b.Logf("%-14s %8.0f msg/s (%.0f to %.0f), %d rounds of %v; the first is %.2f of it", c.name, m, rates[i][0], rates[i][len(rates[i])-1], len(rates[i]), turn, first/m)
	}
}

// unit is a name without spaces.
func unit(name string) string {
	out := []byte(name)
	for i, c := range out {
		if c == ' ' {
			out[i] = '-'
		}
	}
	return string(out)
}
