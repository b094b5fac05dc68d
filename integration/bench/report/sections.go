package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// missing stands in a section without figures.
const missing = "Not measured yet.\n"

// sections are the parts of the page that are made, by the names of their markers.
func (r Report) sections() map[string]string {
	return map[string]string{
		"environment": r.environment(),
		"targets":     r.targets(),
		"drain":       r.drains(),
		"held":        r.held(),
		"latency":     r.latencies(CaseSteady),
		"open":        r.latencies(CaseOpen),
		"oversized":   r.oversized(),
		"wins":        r.wins(),
	}
}

func (r Report) environment() string {
	if r.Started.IsZero() {
		return missing
	}
	e := r.Environment
	settings := make([]string, 0, len(e.Settings))
	for _, name := range slices.Sorted(maps.Keys(e.Settings)) {
		settings = append(settings, fmt.Sprintf("%s: %s", name, e.Settings[name]))
	}
	return fmt.Sprintf("Measured on %s: %d cores of %s, %.0f GB, %s; PostgreSQL %s, Kafka %s, Tandem %s, %s. Settings: %s.\n",
		r.Started.Format("2 January 2006"), e.Cores, cmp.Or(e.CPU, "an unknown processor"), float64(e.Memory)/(1<<30), e.OS,
		e.Postgres, e.Kafka, cmp.Or(e.Tandem, "of the tree"), e.Go, strings.Join(settings, "; "))
}

// fastest are the series of a case by their rates.
func (r Report) fastest(name string) []series {
	all := r.of("drain", name)
	slices.SortStableFunc(all, func(a, b series) int { return cmp.Compare(b.median(rate), a.median(rate)) })
	return all
}

func (r Report) drains() string {
	ours := r.one("drain", CaseBacklog, Tandem).median(rate)
	var rows [][]string
	for _, s := range r.fastest(CaseBacklog) {
		rows = append(rows, drainRow(s.system, s, rate, ours))
		if s.system == Debezium {
			rows = append(rows, drainRow("Debezium, warm: from its first record", s, warm, ours))
		}
	}
	if len(rows) == 0 {
		return missing
	}
	return table([]string{"", "events", "events/s", "least – most", "Tandem is × as fast", "CPU s a million: process", "Postgres", "Kafka", "peak MB", "audit"}, rows)
}

func drainRow(name string, s series, figure func(Result) float64, ours float64) []string {
	speed := s.spread(figure)
	return []string{
		name, thousands(float64(s.results[0].Events)), "**" + rounded(speed.median) + "**", rounded(speed.least) + " – " + rounded(speed.most),
		times(ratio(ours, speed.median)), seconds(s.median(cpu("relay"))), seconds(s.median(cpu("postgres"))), seconds(s.median(cpu("kafka"))),
		megabytes(s.median(memory)), s.audits(),
	}
}

// held compares drains beside a held snapshot with those without.
func (r Report) held() string {
	var rows [][]string
	for _, s := range r.fastest(CaseHeld) {
		without, with := r.one("drain", CaseBacklog, s.system).median(rate), s.median(rate)
		rows = append(rows, []string{s.system, rounded(without), rounded(with), times(ratio(with, without)), s.audits()})
	}
	if len(rows) == 0 {
		return missing
	}
	return table([]string{"", "events/s without", "with", "ratio", "audit"}, rows)
}

func (r Report) latencies(name string) string {
	all := r.of("steady", name)
	slices.SortStableFunc(all, func(a, b series) int { return cmp.Compare(a.median(p50(received)), b.median(p50(received))) })
	var rows [][]string
	for _, s := range all {
		rows = append(rows, []string{
			s.system, rounded(s.median(rate)), millis(s.median(p50(received))), millis(s.median(p99(received))), millis(s.median(longest(received))),
			seconds(s.median(cpu("relay"))), seconds(s.median(cpu("postgres"))), seconds(s.median(cpu("kafka"))), megabytes(s.median(memory)), s.audits(),
		})
	}
	if len(rows) == 0 {
		return missing
	}
	return table([]string{"", "written/s", "p50 ms", "p99 ms", "longest ms", "CPU s a million: process", "Postgres", "Kafka", "peak MB", "audit"}, rows)
}

// oversized tells what a record that the broker refuses does to the others.
func (r Report) oversized() string {
	var rows [][]string
	for _, s := range r.of("oversized", CaseLarge) {
		last := s.results[len(s.results)-1]
		if last.Audit == nil {
			continue
		}
		rows = append(rows, []string{s.system, last.Note, thousands(float64(last.Audit.Expected - last.Audit.Lost)), thousands(float64(last.Audit.Lost))})
	}
	if len(rows) == 0 {
		return missing
	}
	return table([]string{"", "the process", "others that arrived", "that did not"}, rows)
}
