package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/integration/bench/rivals"
	"github.com/tandem-outbox/tandem/internal/bench"
	"github.com/tandem-outbox/tandem/internal/processes"
)

// arriveTimeout bounds how long the first event, and the last ones, may take.
const arriveTimeout = time.Minute

// load is what is written in a measurement of latency, and what disturbs it.
type load struct {
	rate            int           // events a second
	warmUp, lasting time.Duration // before it counts, and of what counts
	open            time.Duration // for how long a writer's transaction stays open
}

// first is the number of the first event after the one that tells that the system
// works, measured that of the first that counts, events how many there are in all.
func (l load) first() int    { return 1 }
func (l load) measured() int { return l.first() + int(l.warmUp.Seconds()*float64(l.rate)) }
func (l load) events() int   { return l.measured() + int(l.lasting.Seconds()*float64(l.rate)) }

// opened is the event that the transaction writes which stays open, or -1. No event
// of its key is written meanwhile: which of the two would be the later one?
func (l load) opened() int {
	if l.open == 0 {
		return -1
	}
	return max(l.measured(), l.events()-bench.Keys)
}

// steady writes events at a rate, each in a transaction of its own, and takes the
// time from COMMIT until a plain consumer has them. An open loop: writers keep their
// schedule whatever becomes of the events.
func (r *run) steady(ctx context.Context, system rivals.System, l load) (bench.Result, error) {
	result := bench.Result{Measure: "steady", System: system.Name, Events: l.events(), Payload: rivals.PayloadBytes, Clients: steadyWriters}
	site, remove, err := r.servers.site(ctx, system, 0)
	if err != nil {
		return result, err
	}
	defer remove()
	p, err := startProcess(ctx, system, site)
	if err != nil {
		return result, err
	}
	defer p.kill()

	working, stop := context.WithCancel(ctx)
	defer stop()
	aside, working := errgroup.WithContext(working)
	a := newArrivals(l.events())
	aside.Go(func() error { return a.receive(working, site) })
	aside.Go(func() error {
		select {
		case <-p.exited:
			return p.failed(system)
		case <-working.Done():
			return nil
		}
	})
	err = r.load(working, p, system, site, l, a, &result)
	stop()
	if failed := aside.Wait(); failed != nil && ctx.Err() == nil {
		err = failed // and with it working ended
	}
	if err != nil {
		return result, err
	}
	latency, err := a.latency(l.measured(), l.events())
	audit := a.audit()
	result.Latency, result.Audit = map[string]bench.Latency{"received": latency}, &audit
	return result, err
}

// load writes everything, waits until it has arrived, and takes what that cost.
func (r *run) load(ctx context.Context, p *process, system rivals.System, site rivals.Site, l load, a *arrivals, result *bench.Result) error {
	w, err := newWriters(ctx, system, site, a)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.write(ctx, 0, 0); err != nil {
		return err
	}
	if err := wait(ctx, a.first, "the first event"); err != nil {
		return err
	}
	before, spent := r.meter.read(), processes.CPU(p.cmd.Process.Pid).Seconds()
	began := time.Now()
	if err := w.run(ctx, l); err != nil {
		return err
	}
	result.Seconds = time.Since(began).Seconds()
	result.Rate = float64(l.events()-l.first()) / result.Seconds
	result.CPU = r.meter.since(before)
	result.CPU["relay"] = processes.CPU(p.cmd.Process.Pid).Seconds() - spent
	result.PeakMemory = processes.PeakMemory(p.cmd.Process.Pid)
	if err := wait(ctx, a.all, "the last events"); err != nil && ctx.Err() != nil {
		return err
	}
	return nil // what has not come is lost, which the audit tells
}

func wait(ctx context.Context, event <-chan struct{}, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, arriveTimeout, fmt.Errorf("%s did not arrive within %s", name, arriveTimeout))
	defer cancel()
	select {
	case <-event:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
