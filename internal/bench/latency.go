package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency sums a histogram up, in milliseconds.
type Latency struct {
	Count int64      `json:"count"`
	P50   float64    `json:"p50_ms"`
	P90   float64    `json:"p90_ms"`
	P99   float64    `json:"p99_ms"`
	P999  float64    `json:"p999_ms"`
	Max   float64    `json:"max_ms"`
	Curve []Quantile `json:"curve,omitempty"` // for plots
}

// Quantile is a point of the curve: so many of a hundred took no longer.
type Quantile struct {
	Percent float64 `json:"percent"`
	Millis  float64 `json:"ms"`
}

// NewHistogram takes times in microseconds, from 1 µs to 10 min, to three digits.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
}

// LatencyOf sums h up.
func LatencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(percent float64) float64 { return float64(h.ValueAtQuantile(percent)) / 1000 }
	l := Latency{Count: h.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000}
	for _, b := range h.CumulativeDistributionWithTicks(5) {
		l.Curve = append(l.Curve, Quantile{Percent: b.Quantile, Millis: float64(b.ValueAt) / 1000})
	}
	return l
}
