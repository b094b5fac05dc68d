package rivals

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
)

// purgeBatch is how many published rows one DELETE takes away.
const purgeBatch = 10_000

// marking is the other usual loop: 1,000 unpublished rows by a partial index,
// published in the same way, UPDATE … SET published_at. What is published is deleted
// beside it, on a connection of its own.
var marking = System{
	Name: "mark + purge",
	Ends: true,
	Setup: func(ctx context.Context, conn *pgx.Conn, _ Site) error {
		_, err := conn.Exec(ctx, `CREATE TABLE outbox (`+columns+`, published_at timestamptz);
			CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL`)
		return err
	},
	Write: writeTable,
	child: markAndPurge,
}

func markAndPurge(ctx context.Context, site Site) error {
	conn, err := pgx.Connect(ctx, site.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	producer := newProducer(site)
	defer producer.close()

	published := make(chan int64, 1) // the last row to be purged
	var failed error
	var purging sync.WaitGroup
	purging.Go(func() { failed = purge(ctx, site, published) })
	var from, last int64
	err = loop(ctx, site, func() (n int, err error) {
		n, last, err = takeAndMark(ctx, conn, producer, last)
		if last-from >= purgeBatch {
			select {
			case published <- last:
				from = last
			default: // it is still at it
			}
		}
		return n, err
	})
	close(published)
	purging.Wait()
	if err != nil {
		return err
	}
	return failed
}

// takeAndMark publishes the next batch; last is the greatest id so far. The rows'
// lock is for a second worker, which stands by.
func takeAndMark(ctx context.Context, conn *pgx.Conn, producer *producer, last int64) (n int, _ int64, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id, event_id, key, payload, created_at FROM outbox
			WHERE published_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE`, pollBatch)
		if err != nil {
			return err
		}
		batch, err := pgx.CollectRows(rows, scanRow)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := publishRows(ctx, producer, batch); err != nil {
			return err
		}
		n = len(batch)
		ids := make([]int64, n)
		for i, r := range batch {
			ids[i] = r.number
			last = max(last, r.number)
		}
		_, err = tx.Exec(ctx, `UPDATE outbox SET published_at = now() WHERE id = ANY($1)`, ids)
		return err
	})
	return n, last, err
}

// purge deletes what is published up to each row that it is told.
func purge(ctx context.Context, site Site, published <-chan int64) error {
	conn, err := pgx.Connect(ctx, site.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var from int64
	for to := range published {
		for ; from < to; from += purgeBatch {
			if _, err := conn.Exec(ctx, `DELETE FROM outbox WHERE id > $1 AND id <= $2 AND published_at IS NOT NULL`,
				from, min(to, from+purgeBatch)); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}
