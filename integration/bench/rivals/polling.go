package rivals

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pollBatch is how many rows one transaction of a polling loop takes.
	pollBatch = 1000
	// pollPause is how long such a loop waits when there was nothing.
	pollPause = 5 * time.Millisecond
)

// polling is the usual loop: DELETE … RETURNING of 1,000 rows by FOR UPDATE SKIP
// LOCKED, prepared by pgx; published in order, one request a partition at a time and
// all partitions at once; then COMMIT. One worker, because two would mix up the order.
var polling = System{
	Name: "SKIP LOCKED",
	Ends: true,
	Setup: func(ctx context.Context, conn *pgx.Conn, _ Site) error {
		_, err := conn.Exec(ctx, `CREATE TABLE outbox (`+columns+`)`)
		return err
	},
	Write: writeTable,
	child: func(ctx context.Context, site Site) error {
		conn, err := pgx.Connect(ctx, site.DatabaseURL)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		producer := newProducer(site)
		defer producer.close()
		return loop(ctx, site, func() (int, error) { return takeAndDelete(ctx, conn, producer) })
	},
}

// takeAndDelete publishes the next batch and tells how many there were.
func takeAndDelete(ctx context.Context, conn *pgx.Conn, producer *producer) (n int, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `WITH next AS (SELECT id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
			DELETE FROM outbox o USING next WHERE o.id = next.id RETURNING o.id, o.event_id, o.key, o.payload, o.created_at`, pollBatch)
		if err != nil {
			return err
		}
		batch, err := pgx.CollectRows(rows, scanRow)
		if err != nil {
			return err
		}
		slices.SortFunc(batch, func(a, b row) int { return cmp.Compare(a.number, b.number) }) // RETURNING has no order
		n = len(batch)
		return publishRows(ctx, producer, batch)
	})
	return n, err
}

// loop repeats step until it has taken all events of the site, if that says how
// many there are.
func loop(ctx context.Context, site Site, step func() (int, error)) error {
	for done := 0; site.steady() || done < site.Events; {
		n, err := step()
		if err != nil {
			return err
		}
		done += n
		if n > 0 {
			continue
		}
		select {
		case <-time.After(pollPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
