package main

import (
	"context"
	"fmt"
	"io"
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
			result, err := r.measure(ctx, t)
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

func (r *run) measure(ctx context.Context, t task) (report.Result, error) {
	if t.large {
		result, err := r.oversized(ctx, t.system, t.events)
		return report.Result{Result: result}, err
	}
	if t.events > 0 {
		return r.drain(ctx, t.system, t.events, t.held)
	}
	result, err := r.steady(ctx, t.system, t.load)
	return report.Result{Result: result}, err
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
	if r.Note != "" {
		return fmt.Sprintf("%s, %s", r.Note, r.Audit)
	}
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
