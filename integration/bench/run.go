package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tandem-outbox/tandem/integration/bench/report"
	"github.com/tandem-outbox/tandem/integration/bench/rivals"
)

// run measures one thing after the other and keeps every result at once.
type run struct {
	servers  *servers
	meter    meter
	progress io.Writer
	report   report.Report
	file     string // where the report is kept, or ""
}

// task is one measurement, to be made in every round up to rounds.
type task struct {
	system  rivals.System
	name    string // the case
	rounds  int
	measure func(context.Context, *run, rivals.System) (report.Result, error)
}

// all makes the rounds, all tasks in turn in each of them. A task that fails is
// told and left out; the others go on.
func (r *run) all(ctx context.Context, tasks []task, rounds int) error {
	var failed []string
	for round := 1; round <= rounds; round++ {
		for i, t := range tasks {
			if round > t.rounds {
				continue
			}
			fmt.Fprintf(r.progress, "%s  round %d/%d, %2d/%d  %-16s %-30s ", time.Now().Format(time.TimeOnly), round, rounds, i+1, len(tasks), t.system.Name, t.name)
			result, err := t.measure(ctx, r, t.system)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				fmt.Fprintf(r.progress, "FAILED: %v\n", err)
				failed = append(failed, t.system.Name+", "+t.name)
				continue
			}
			result.Case, result.Round = t.name, round
			fmt.Fprintln(r.progress, summary(result))
			if err := r.keep(result); err != nil {
				return err
			}
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("measured without a result: %q", failed)
	}
	return nil
}

// warmUp lets the broker's JVM see what is to come: its first million records take
// several times as long as any later one.
func (r *run) warmUp(ctx context.Context, events int) error {
	fmt.Fprintln(r.progress, "warming up")
	for range 2 {
		if _, err := r.drain(ctx, rivals.Systems()[0], events, false); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	return nil
}

func (r *run) keep(results ...report.Result) error {
	r.report.Add(results...)
	if r.file == "" {
		return nil
	}
	return r.report.Save(r.file)
}

// summary is a result in a line.
func summary(r report.Result) string {
	line := fmt.Sprintf("%8.0f/s", r.Rate)
	if latency, ok := r.Latency["received"]; ok {
		line = fmt.Sprintf("p50 %.1f ms, p99 %.1f, max %.1f", latency.P50, latency.P99, latency.Max)
	}
	perMillion := 1e6 / float64(max(1, r.Events))
	line += fmt.Sprintf("  CPU s/M: relay %.1f, Postgres %.1f, Kafka %.1f", r.CPU["relay"]*perMillion, r.CPU["postgres"]*perMillion, r.CPU["kafka"]*perMillion)
	if r.PeakMemory > 0 {
		line += fmt.Sprintf("  %d MB", r.PeakMemory/1e6)
	}
	if r.Audit != nil && !r.Audit.Clean() {
		line += "  " + r.Audit.String()
	}
	return line
}

// plan says what is to be measured.
type plan struct {
	rounds   int
	events   int // of a drain; slow systems take fewer, see most
	long     int // of the long drain, 0 leaves it out
	systems  []string
	measures []string
	lasting  time.Duration // of a measurement of latency
}

// The measures, as -measures names them.
const (
	measureDrain  = "drain"
	measureHeld   = "held"
	measureLong   = "long"
	measureSteady = "steady"
	measureOpen   = "open"
	measureOwn    = "own" // what "tandem bench" measures
)

var measures = []string{measureDrain, measureHeld, measureSteady, measureOpen, measureLong, measureOwn}

const (
	warmTime = 5 * time.Second
	openTime = 10 * time.Second
)

// most is how many events a slow system takes in a drain: enough for ten seconds.
var most = map[string]int{report.Debezium: 500_000, report.WatermillTuned: 200_000, report.Watermill: 30_000}

// mostRounds are those of slow systems, so that a run ends in good time.
var mostRounds = map[string]int{report.Debezium: 2, report.WatermillTuned: 2, report.Watermill: 2}

// tasks are the measurements of a round.
func (p plan) tasks() []task {
	var tasks []task
	add := func(measure, name string, rounds int, systems []string, do func(context.Context, *run, rivals.System) (report.Result, error)) {
		for _, s := range rivals.Systems() {
			rounds := min(rounds, cmp.Or(mostRounds[s.Name], rounds))
			if slices.Contains(p.measures, measure) && slices.Contains(p.systems, s.Name) && (systems == nil || slices.Contains(systems, s.Name)) {
				tasks = append(tasks, task{s, name, rounds, do})
			}
		}
	}
	drain := func(events int, held bool) func(context.Context, *run, rivals.System) (report.Result, error) {
		return func(ctx context.Context, r *run, s rivals.System) (report.Result, error) {
			return r.drain(ctx, s, min(events, cmp.Or(most[s.Name], events)), held)
		}
	}
	steady := func(l load) func(context.Context, *run, rivals.System) (report.Result, error) {
		return func(ctx context.Context, r *run, s rivals.System) (report.Result, error) {
			result, err := r.steady(ctx, s, l)
			return report.Result{Result: result}, err
		}
	}
	add(measureDrain, report.CaseBacklog, p.rounds, nil, drain(p.events, false))
	add(measureHeld, report.CaseHeld, p.rounds, []string{report.Tandem}, drain(p.events, true))
	add(measureHeld, report.CaseHeld, min(1, p.rounds), []string{report.SkipLocked}, drain(p.events, true))
	add(measureSteady, report.CaseSteady, p.rounds, []string{report.Tandem, report.SkipLocked, report.WatermillTuned, report.Debezium},
		steady(load{rate: 1000, warmUp: warmTime, lasting: p.lasting}))
	add(measureOpen, report.CaseOpen, min(1, p.rounds), []string{report.Tandem, report.SkipLocked, report.WatermillTuned},
		steady(load{rate: 1000, warmUp: warmTime, lasting: openAfter + openTime + 5*time.Second, open: openTime}))
	add(measureLong, report.CaseLong, min(1, p.rounds), []string{report.Tandem}, drain(p.long, false))
	return tasks
}
