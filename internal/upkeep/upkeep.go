package upkeep

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// DB is a pool or a connection that is in no transaction.
type DB interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// batch is how many rows of each table expire in one transaction: some 50 ms.
const batch = 10_000

// Done is what was done.
type Done struct {
	Made    int   // leaves of the coming year
	Emptied int   // leaves older than the retention
	Dropped int   // of the empty ones
	Expired int64 // rows that have no leaf
	More    bool  // rows have expired that are still there
}

// Any tells whether anything was done.
func (d Done) Any() bool { return d.Made+d.Emptied+d.Dropped > 0 || d.Expired > 0 }

// Add adds what another step has done, and takes over whether there is more.
func (d *Done) Add(step Done) {
	d.Made += step.Made
	d.Emptied += step.Emptied
	d.Dropped += step.Dropped
	d.Expired += step.Expired
	d.More = step.More
}

// Step does what there is to do once, with one batch of what expires. What fails
// does not keep the rest from being done.
func Step(ctx context.Context, db DB, name string) (Done, error) {
	return step(ctx, db, name, batch)
}

func step(ctx context.Context, db DB, name string, batch int) (Done, error) {
	var d Done
	call := func(what, statement string, args []any, to ...any) error {
		if err := db.QueryRow(ctx, schema.Rewrite(statement, name), args...).Scan(to...); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	err := errors.Join(
		call("make and empty leaves of the inbox", `SELECT made, emptied FROM tandem.maintain_inbox()`, nil, &d.Made, &d.Emptied),
		call("drop an empty leaf of the inbox", `SELECT tandem.drop_inbox_leaf()`, nil, &d.Dropped),
		call("delete expired ids", `SELECT tandem.expire_inbox($1)`, []any{batch}, &d.Expired),
	)
	d.More = d.Expired >= int64(batch)
	return d, err
}

// All repeats Step until there is no more to do.
func All(ctx context.Context, db DB, name string) (Done, error) {
	return all(ctx, db, name, batch)
}

func all(ctx context.Context, db DB, name string, batch int) (Done, error) {
	var sum Done
	for {
		d, err := step(ctx, db, name, batch)
		sum.Add(d)
		if err != nil || !d.More {
			return sum, err
		}
	}
}
