package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/integration/bench/report"
	"github.com/tandem-outbox/tandem/integration/bench/rivals"
	"github.com/tandem-outbox/tandem/internal/bench"
)

const (
	// oversizedBytes is the size of an event that the broker refuses: its topics take
	// records of a megabyte.
	oversizedBytes = 2_000_000
	// quietFor is how long nothing arrives of a system that has stopped.
	quietFor = 20 * time.Second
)

// oversized writes events, one in their midst that the broker refuses, and counts
// what arrives of the others. The refused one has a key of its own.
func (r *run) oversized(ctx context.Context, system rivals.System, events int) (bench.Result, error) {
	result := bench.Result{Measure: "oversized", System: system.Name, Events: events, Payload: rivals.PayloadBytes}
	site, remove, err := r.servers.site(ctx, system, 0)
	if err != nil {
		return result, err
	}
	defer remove()
	if err := writeAround(ctx, system, site, events); err != nil {
		return result, err
	}
	p, err := startProcess(ctx, system, site)
	if err != nil {
		return result, err
	}
	defer p.kill()
	a := newArrivals(events)
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	aside, receiving := errgroup.WithContext(receiving)
	aside.Go(func() error { return a.receive(receiving, site) })
	result.Note, err = a.settle(receiving, p)
	stop()
	if failed := aside.Wait(); failed != nil {
		err = failed
	}
	audit := a.audit()
	result.Audit = &audit
	return result, err
}

// writeAround writes the events in two transactions and the oversized one between.
func writeAround(ctx context.Context, system rivals.System, site rivals.Site, events int) error {
	conn, err := pgx.Connect(ctx, site.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if system.Unlimited != "" {
		if _, err := conn.Exec(ctx, system.Unlimited); err != nil {
			return err
		}
	}
	if err := write(ctx, conn, system, site, 0, events/2); err != nil {
		return err
	}
	large := rivals.EventOf(0)
	large.Key, large.Payload = "oversized", bench.Payload(0, oversizedBytes)
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return system.Write(ctx, tx, site, []rivals.Event{large}) }); err != nil {
		return err
	}
	return write(ctx, conn, system, site, events/2, events)
}

// settle waits until everything has arrived, or nothing more does, and says what
// became of the process.
func (a *arrivals) settle(ctx context.Context, p *process) (string, error) {
	quiet := time.NewTimer(arriveTimeout) // the first one's start included
	defer quiet.Stop()
	exited, tick := p.exited, time.NewTicker(sampleEvery)
	defer tick.Stop()
	note, left := report.GoesOn, a.audit().Lost
	for {
		select {
		case <-a.all:
			return note, nil
		case <-exited:
			note, exited = report.Ends, nil
		case <-quiet.C:
			if note == report.GoesOn {
				note = report.Stands
			}
			return note, nil
		case <-ctx.Done():
			return note, context.Cause(ctx)
		case <-tick.C:
			if lost := a.audit().Lost; lost < left {
				quiet.Reset(quietFor)
				left = lost
			}
		}
	}
}
