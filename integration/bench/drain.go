package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/integration/bench/report"
	"github.com/tandem-outbox/tandem/integration/bench/rivals"
	"github.com/tandem-outbox/tandem/internal/bench"
	"github.com/tandem-outbox/tandem/internal/processes"
)

const (
	// sampleEvery is how often a drain's progress is looked at; that of a system
	// which does not end by itself is known as exactly as that.
	sampleEvery = 20 * time.Millisecond
	// stuckAfter is how long a system may publish nothing.
	stuckAfter = 2 * time.Minute
)

// sample is how many records there were at a time since the beginning.
type sample struct {
	at      time.Duration
	records int
}

// drain writes a backlog, has a system publish it, and reads back what arrived.
// With held, another session keeps a snapshot from before the backlog.
func (r *run) drain(ctx context.Context, system rivals.System, events int, held bool) (report.Result, error) {
	result := report.Result{Result: bench.Result{Measure: "drain", System: system.Name, Events: events, Payload: rivals.PayloadBytes}}
	site, remove, err := r.servers.site(ctx, system, events)
	if err != nil {
		return result, err
	}
	defer remove()
	if held {
		release, err := holdSnapshot(ctx, site)
		if err != nil {
			return result, err
		}
		defer release()
	}
	if system.Write != nil {
		if err := writeBacklog(ctx, system, site); err != nil {
			return result, err
		}
	}
	before := r.meter.read()
	p, err := startProcess(ctx, system, site)
	if err != nil {
		return result, err
	}
	if system.Memory {
		before = r.meter.read()
	}
	samples, peak, err := r.watch(ctx, p, system, site)
	p.kill()
	if err != nil {
		return result, err
	}
	result.CPU = r.meter.since(before)
	result.CPU["relay"] = p.cpu()
	if !system.Memory { // there it is that of the events
		result.PeakMemory = peak
	}
	result.Seconds = samples[len(samples)-1].at.Seconds()
	result.Rate = float64(events) / result.Seconds
	result.Warm, result.Rates = warm(samples, events), tenths(samples, events)
	audit, err := r.servers.audit(ctx, site.Topic, events)
	result.Audit = &audit
	return result, err
}

// holdSnapshot begins a transaction that sees nothing of what comes.
func holdSnapshot(ctx context.Context, site rivals.Site) (release func(), err error) {
	conn, err := pgx.Connect(ctx, site.DatabaseURL)
	if err != nil {
		return nil, err
	}
	release = func() { _ = conn.Close(context.WithoutCancel(ctx)) }
	if _, err := conn.Exec(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class`); err != nil {
		release()
		return nil, fmt.Errorf("hold a snapshot: %w", err)
	}
	return release, nil
}

// watch follows a drain to its end: that of the process, or the last record of one
// that goes on. The last sample is the end.
func (r *run) watch(ctx context.Context, p *process, system rivals.System, site rivals.Site) (samples []sample, peak int64, err error) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	moved := time.Now()
	samples = []sample{{}}
	for {
		select {
		case <-p.exited:
			if p.failure != nil || !system.Ends {
				return nil, 0, p.failed(system)
			}
			return append(samples, sample{p.ended.Sub(p.began), site.Events}), peak, nil
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case <-tick.C:
		}
		records, err := r.servers.written(ctx, site.Topic)
		if err != nil {
			return nil, 0, err
		}
		at := time.Now()
		peak = max(peak, processes.PeakMemory(p.cmd.Process.Pid))
		if records > samples[len(samples)-1].records {
			moved = at
		}
		samples = append(samples, sample{at.Sub(p.began), records})
		switch {
		case !system.Ends && records >= site.Events:
			return samples, peak, nil
		case at.Sub(moved) > stuckAfter:
			return nil, 0, fmt.Errorf("%s has published %d of %d events and for %s nothing more", system.Name, records, site.Events, stuckAfter)
		}
	}
}

// warm is the rate from the first record to the last.
func warm(samples []sample, events int) float64 {
	for _, s := range samples {
		if s.records > 0 && s.records < events {
			return float64(events-s.records) / (samples[len(samples)-1].at - s.at).Seconds()
		}
	}
	return 0
}

// tenths are the rates of each tenth of the events, by the times at which the
// records passed its bounds.
func tenths(samples []sample, events int) []float64 {
	rates := make([]float64, 10)
	from := crossing(samples, 1)
	for i := range rates {
		to := crossing(samples, float64(events)*float64(i+1)/10)
		if to > from {
			rates[i] = float64(events) / 10 / (to - from)
		}
		from = to
	}
	return rates
}

// crossing is when there were so many records, in seconds, on the straight line
// between two samples.
func crossing(samples []sample, records float64) float64 {
	for i, s := range samples[1:] {
		before := samples[i]
		if float64(s.records) >= records {
			share := (records - float64(before.records)) / float64(s.records-before.records)
			return before.at.Seconds() + share*(s.at-before.at).Seconds()
		}
	}
	return samples[len(samples)-1].at.Seconds()
}
