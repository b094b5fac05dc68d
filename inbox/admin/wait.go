package admin

import (
	"context"
	"time"
)

// pollEvery is how often Wait looks.
const pollEvery = 250 * time.Millisecond

// Wait follows a redrive until none of its messages waits any more, and returns it
// as it then is; what failed again is no error of Wait's. It calls progress, which
// may be nil, whenever something has moved. When ctx ends it returns the redrive as
// it was last seen, and ctx's error; the consumers go on with it.
func (o *Operator) Wait(ctx context.Context, r Redrive, progress func(Redrive)) (Redrive, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		now, err := o.look(ctx, r)
		switch {
		case ctx.Err() != nil:
			return r, ctx.Err()
		case err != nil:
			return r, err
		}
		moved := now.Waiting != r.Waiting
		r = now
		if progress != nil && moved {
			progress(r)
		}
		if r.Waiting == 0 {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-ticker.C:
		}
	}
}

// look asks only for those that were still waited for: a message that has failed
// stays one that failed, whatever is decided about it next.
func (o *Operator) look(ctx context.Context, r Redrive) (Redrive, error) {
	rows, err := o.db.Query(ctx, o.sql(sqlFollow), r.waiting)
	if err != nil {
		return r, explain(err, "follow the redrive")
	}
	defer rows.Close()
	var waiting []int64
	there := 0
	for rows.Next() {
		var redrive bool
		var f Failure
		if err := rows.Scan(&f.Aside, &redrive, &f.Consumer, &f.Topic, &f.Partition, &f.Offset, &f.ID, &f.State, &f.Error); err != nil {
			return r, explain(err, "follow the redrive")
		}
		there++
		if redrive {
			waiting = append(waiting, f.Aside)
			continue
		}
		r.Failed++
		if len(r.Failures) < 20 {
			r.Failures = append(r.Failures, f)
		}
	}
	if err := rows.Err(); err != nil {
		return r, explain(err, "follow the redrive")
	}
	r.Handled += len(r.waiting) - there
	r.waiting, r.Waiting = waiting, len(waiting)
	return r, nil
}
