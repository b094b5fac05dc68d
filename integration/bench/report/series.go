package report

import (
	"slices"
)

// series is what was measured of one system, a result for each round.
type series struct {
	system  string
	results []Result
}

// spread is a median and what it lies between.
type spread struct{ median, least, most float64 }

// of are the series of a case, in the order in which they were measured.
func (r Report) of(measure, name string) []series {
	var all []series
	for _, result := range r.Results {
		if result.Measure != measure || result.Case != name {
			continue
		}
		i := slices.IndexFunc(all, func(s series) bool { return s.system == result.System })
		if i < 0 {
			i = len(all)
			all = append(all, series{system: result.System})
		}
		all[i].results = append(all[i].results, result)
	}
	return all
}

// one is the series of a system; it is empty where nothing was measured.
func (r Report) one(measure, name, system string) series {
	for _, s := range r.of(measure, name) {
		if s.system == system {
			return s
		}
	}
	return series{system: system}
}

// where are the results among them that fit.
func (s series) where(fits func(Result) bool) series {
	fitting := series{system: s.system}
	for _, r := range s.results {
		if fits(r) {
			fitting.results = append(fitting.results, r)
		}
	}
	return fitting
}

// spread is that of a figure over the rounds.
func (s series) spread(figure func(Result) float64) spread {
	if len(s.results) == 0 {
		return spread{}
	}
	values := make([]float64, len(s.results))
	for i, r := range s.results {
		values[i] = figure(r)
	}
	slices.Sort(values)
	n := len(values)
	return spread{(values[n/2] + values[(n-1)/2]) / 2, values[0], values[n-1]}
}

func (s series) median(figure func(Result) float64) float64 { return s.spread(figure).median }

func rate(r Result) float64 { return r.Rate }
func warm(r Result) float64 { return r.Warm }

// cpu is what a process has spent of a million events, in seconds.
func cpu(process string) func(Result) float64 {
	return func(r Result) float64 { return r.CPU[process] * 1e6 / float64(max(1, r.Events)) }
}

// whole is what all three have spent.
func whole(r Result) float64 { return cpu("relay")(r) + cpu("postgres")(r) + cpu("kafka")(r) }

func memory(r Result) float64 { return float64(r.PeakMemory) }

func p50(to string) func(Result) float64 {
	return func(r Result) float64 { return r.Latency[to].P50 }
}

func p99(to string) func(Result) float64 {
	return func(r Result) float64 { return r.Latency[to].P99 }
}

func longest(to string) func(Result) float64 {
	return func(r Result) float64 { return r.Latency[to].Max }
}

// ratio is a / b, and 0 where one of them was not measured.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
