package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Request is what the working relay is asked for, and how far it is.
type Request struct {
	Number      int64      `json:"request"`
	Kind        string     `json:"kind"` // redrive, release or replay
	By          string     `json:"by"`
	RequestedAt time.Time  `json:"requested_at"`
	StartedAt   *time.Time `json:"started_at"`
	FinishedAt  *time.Time `json:"finished_at"`
	Total       int64      `json:"total"`  // events asked for
	Done        int64      `json:"done"`   // of them sent
	Failed      int64      `json:"failed"` // of them refused again, or skipped
	Error       string     `json:"error"`
}

func (r *Request) scan(row pgx.Row) error {
	err := row.Scan(&r.Number, &r.Kind, &r.By, &r.RequestedAt, &r.StartedAt, &r.FinishedAt, &r.Total, &r.Done, &r.Failed, &r.Error)
	r.RequestedAt = r.RequestedAt.UTC()
	for _, t := range []*time.Time{r.StartedAt, r.FinishedAt} {
		if t != nil {
			*t = t.UTC()
		}
	}
	return err
}

// pollEvery is how often Wait looks.
const pollEvery = 250 * time.Millisecond

// Wait follows a request until the relay has finished it, and returns it as it
// then is; its Failed and Error are no error of Wait's. It calls progress, which
// may be nil, whenever something has moved. When ctx ends it returns the request
// as it was last seen, and ctx's error; the relay goes on with it.
func (o *Operator) Wait(ctx context.Context, number int64, progress func(Request)) (Request, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var last Request
	for seen := false; ; seen = true {
		var now Request
		err := now.scan(o.db.QueryRow(ctx, o.sql.request, number))
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return last, fmt.Errorf("there is no request %d any more", number)
		case ctx.Err() != nil:
			return last, ctx.Err()
		case err != nil:
			return last, explain(err, "follow the request")
		}
		if progress != nil && (!seen || now.Done != last.Done || now.Failed != last.Failed || (now.StartedAt == nil) != (last.StartedAt == nil)) {
			progress(now)
		}
		last = now
		if now.FinishedAt != nil {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-ticker.C:
		}
	}
}
