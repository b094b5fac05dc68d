package report

import (
	"fmt"
	"io"
	"math"

	svg "github.com/ajstarks/svgo"

	"github.com/tandem-outbox/tandem/internal/bench"
)

const (
	curveHeight = 320
	curveLeft   = 70
	curveWidth  = 600
	// nines is where the percentiles end: 99.99.
	nines = 4
)

// plotLatency draws each system's percentiles, both axes logarithmic: to the right
// each nine is as wide as the one before.
func plotLatency(w io.Writer, r Report) {
	all := r.of("steady", CaseSteady)
	least, most := math.Inf(1), 0.0
	for _, s := range all {
		for _, q := range s.curve() {
			if q.Percent > 0 { // there, one event decides
				least, most = min(least, q.Millis), max(most, q.Millis)
			}
		}
	}
	c := canvas(w, plotTop+curveHeight+60, "Commit to consumer at 1,000 events a second", "milliseconds by percentile; the round of the median p99")
	if most > 0 {
		low, high := math.Floor(math.Log10(max(least, 0.1))), math.Ceil(math.Log10(most))
		y := func(ms float64) int {
			share := (math.Log10(max(ms, 0.1)) - low) / max(1, high-low)
			return plotTop + curveHeight - int(share*curveHeight+0.5)
		}
		axes(c, low, high, y)
		for n, s := range all {
			var xs, ys []int
			for _, q := range s.curve() {
				if x := percentile(q.Percent); x > curveLeft && x <= curveLeft+curveWidth {
					xs, ys = append(xs, x), append(ys, y(q.Millis))
				}
			}
			c.Polyline(xs, ys, class("curve "+colour(n)))
			legend(c, curveLeft+curveWidth+20, plotTop+10+n*24, n, s.system)
		}
	}
	c.End()
}

func axes(c *svg.SVG, low, high float64, y func(float64) int) {
	for power := low; power <= high; power++ {
		ms := math.Pow(10, power)
		c.Line(curveLeft, y(ms), curveLeft+curveWidth, y(ms), class("grid"))
		c.Text(curveLeft-8, y(ms)+4, fmt.Sprintf("%g", ms), class("small end"))
	}
	for n := range nines + 1 {
		percent := 100 - 100*math.Pow(10, -float64(n))
		x := percentile(percent)
		c.Line(x, plotTop, x, plotTop+curveHeight, class("grid"))
		c.Text(x, plotTop+curveHeight+18, fmt.Sprintf("%.6g", percent), class("small middle"))
	}
	c.Text(curveLeft+curveWidth/2, plotTop+curveHeight+40, "percentile", class("small middle"))
}

// percentile is where one is from left to right.
func percentile(percent float64) int {
	if percent >= 100 {
		return curveLeft + 2*curveWidth // off the plot
	}
	return curveLeft + int(-math.Log10(1-percent/100)/nines*curveWidth+0.5)
}

// curve is that of the round whose p99 is nearest to the median.
func (s series) curve() []bench.Quantile {
	middle := s.median(p99(received))
	best, found := math.Inf(1), []bench.Quantile(nil)
	for _, r := range s.results {
		if l := r.Latency[received]; math.Abs(l.P99-middle) < best {
			best, found = math.Abs(l.P99-middle), l.Curve
		}
	}
	return found
}
