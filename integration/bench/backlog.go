package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/integration/bench/rivals"
)

const (
	// backlogBatch is how many events one transaction of a backlog writes.
	backlogBatch = 1000
	// backlogWriters divides the keys of a backlog: batches of one writer have keys
	// that those of the other have not, so that each key keeps its order.
	backlogWriters = 2
)

// writeBacklog adds the site's events, in transactions of 1,000, and brings the
// database to rest.
func writeBacklog(ctx context.Context, system rivals.System, site rivals.Site) error {
	writers, writing := errgroup.WithContext(ctx)
	for w := range backlogWriters {
		writers.Go(func() error {
			conn, err := pgx.Connect(writing, site.DatabaseURL)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(writing))
			if _, err := conn.Exec(writing, `SET synchronous_commit = off`); err != nil { // the checkpoint below makes up for it
				return err
			}
			for from := w * backlogBatch; from < site.Events; from += backlogWriters * backlogBatch {
				if err := write(writing, conn, system, site, from, min(from+backlogBatch, site.Events)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		return fmt.Errorf("write the backlog: %w", err)
	}
	if err := execute(ctx, site.DatabaseURL, `VACUUM ANALYZE`); err != nil {
		return fmt.Errorf("vacuum the backlog: %w", err)
	}
	return execute(ctx, site.DatabaseURL, `CHECKPOINT`)
}

// write adds the events of the numbers from, up to and without to, in a transaction.
func write(ctx context.Context, conn *pgx.Conn, system rivals.System, site rivals.Site, from, to int) error {
	events := make([]rivals.Event, 0, to-from)
	for n := from; n < to; n++ {
		events = append(events, rivals.EventOf(n))
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return system.Write(ctx, tx, site, events) })
}
