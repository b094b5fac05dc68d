package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/integration/bench/rivals"
)

const (
	// steadyWriters is how many connections a steady load comes over.
	steadyWriters = 8
	// openAfter is how long after the beginning of what counts the transaction
	// begins that stays open.
	openAfter = 3 * time.Second
)

// writers are connections that write events on a schedule.
type writers struct {
	system   rivals.System
	site     rivals.Site
	arrivals *arrivals
	conns    []*pgx.Conn // and one more, for the transaction that stays open
}

func newWriters(ctx context.Context, system rivals.System, site rivals.Site, a *arrivals) (*writers, error) {
	w := &writers{system: system, site: site, arrivals: a}
	for range steadyWriters + 1 {
		conn, err := pgx.Connect(ctx, site.DatabaseURL)
		if err != nil {
			w.close()
			return nil, err
		}
		w.conns = append(w.conns, conn)
	}
	return w, nil
}

func (w *writers) close() {
	for _, conn := range w.conns {
		conn.Close(context.Background())
	}
}

// write writes an event over one of the connections.
func (w *writers) write(ctx context.Context, connection, n int) error {
	err := write(ctx, w.conns[connection], w.system, w.site, n, n+1)
	w.arrivals.commit(n)
	return err
}

// run writes the load to its end.
func (w *writers) run(ctx context.Context, l load) error {
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for connection := range steadyWriters {
		group.Go(func() error {
			for n := l.first() + connection; n < l.events(); n += steadyWriters {
				if n == l.opened() {
					continue
				}
				due := time.Duration(n-l.first()) * time.Second / time.Duration(l.rate)
				if err := until(ctx, began.Add(due)); err != nil {
					return err
				}
				if err := w.write(ctx, connection, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if l.open > 0 {
		group.Go(func() error { return w.stayOpen(ctx, began.Add(l.warmUp+openAfter), l) })
	}
	return group.Wait()
}

// stayOpen writes its event and commits it much later.
func (w *writers) stayOpen(ctx context.Context, begin time.Time, l load) error {
	if err := until(ctx, begin); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, w.conns[steadyWriters], func(tx pgx.Tx) error {
		if err := w.system.Write(ctx, tx, w.site, []rivals.Event{rivals.EventOf(l.opened())}); err != nil {
			return err
		}
		return until(ctx, begin.Add(l.open))
	})
	w.arrivals.commit(l.opened())
	return err
}

// until waits for a time.
func until(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
