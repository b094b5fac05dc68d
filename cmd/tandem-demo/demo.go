package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// drainTimeout bounds how long everything may take to arrive once nothing is
// killed any more.
const drainTimeout = 30 * time.Second

// play is the demo from curtain to curtain.
func play(ctx context.Context, o options, stdout io.Writer) (err error) {
	clean := &cleanups{}
	defer func() {
		if cleanErr := clean.run(); err == nil && cleanErr != nil {
			err = fmt.Errorf("clean up: %w", cleanErr)
		}
	}()
	began := time.Now()
	fmt.Fprintf(stdout, "Setting the stage: %s and %s (kills: --seed %d)\n",
		either(o.database == "", "a PostgreSQL of our own", "your PostgreSQL"),
		either(len(o.brokers) == 0, "a fake Kafka in this process", "your Kafka"), o.seed)
	dir, err := localproc.MakeDir("", "tandem-demo-")
	if err != nil {
		return err
	}
	clean.add(func(context.Context) error { dir.Remove(); return nil })
	w, pool, err := build(ctx, o, clean)
	if err != nil {
		return err
	}
	s, err := openShop(ctx, w, pool)
	if err != nil {
		return err
	}
	actors, err := cast(o, w, dir.Path)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Ready after %.1f s. The shop is open for %v; relay and consumers are killed all the while.\n\n", time.Since(began).Seconds(), o.duration)
	if err := perform(ctx, o, s, actors, stdout); err != nil {
		return err
	}
	found, err := audit(ctx, s)
	if err != nil {
		return err
	}
	return report(stdout, found, actors)
}

// perform runs shop, relay and consumers, and returns when all of them have
// ended: well, or because of one that did not, or of ctx.
func perform(ctx context.Context, o options, s *shop, actors []*actor, stdout io.Writer) error {
	all, ctx := errgroup.WithContext(ctx)
	onStage, leave := context.WithCancel(ctx)
	defer leave()
	open, closeShop := context.WithTimeout(ctx, o.duration)
	defer closeShop()
	for _, a := range actors {
		all.Go(func() error { return a.play(onStage, open) })
	}
	view := newProgress(stdout, s, actors, o.duration)
	all.Go(func() error { return view.run(onStage) })
	all.Go(func() error {
		defer leave()
		if err := s.open(ctx, open, o.rate); err != nil {
			return err
		}
		return drained(ctx, s)
	})
	return all.Wait()
}

// drained returns when both consumers have charged for every order.
func drained(ctx context.Context, s *shop) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainTimeout, errDrain)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		with, without, err := charged(ctx, s.world, s.pool, "count(DISTINCT order_id)")
		if err == nil && min(with, without) >= s.committed.Load() {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errDrain) {
				return nil // the audit says what is missing
			}
			return ctx.Err()
		}
	}
}

var errDrain = errors.New("the drain took too long")

// charged evaluates an aggregate over the charges of the two consumers.
func charged(ctx context.Context, w *world, pool *pgxpool.Pool, aggregate string) (with, without int64, err error) {
	err = pool.QueryRow(ctx, fmt.Sprintf(`SELECT (SELECT %[1]s FROM %[2]s), (SELECT %[1]s FROM %[3]s)`,
		aggregate, w.table(charges(withInbox)), w.table(charges(withoutInbox)))).Scan(&with, &without)
	if err != nil {
		return 0, 0, fmt.Errorf("count the charges: %w", err)
	}
	return with, without, nil
}

func either(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}
