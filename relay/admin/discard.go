package admin

import (
	"context"
	"fmt"
)

// Discard gives up events that match: they will not be sent, tandem.dropped
// keeps who decided that and why, and what they held goes on. It takes parked
// events; with held set also events that wait behind a parked one. Not those
// that are being sent again. Where there is nothing to give up, the error is a
// NothingError.
func (o *Operator) Discard(ctx context.Context, s Selector, held bool, by, why string) (Discarded, error) {
	var d Discarded
	err := o.db.QueryRow(ctx, o.sql.discard, s.arguments(held, by, why)...).Scan(&d.Parked, &d.Held, &d.Release)
	if err != nil {
		return d, explain(err, "discard")
	}
	if d.Parked+d.Held == 0 {
		return d, o.nothing(ctx, s)
	}
	return d, nil
}

// Discarded counts what was given up.
type Discarded struct {
	Parked int64 `json:"parked"`
	Held   int64 `json:"held"`
	// Release is the request at which the relay lets the keys go on.
	Release *int64 `json:"request"`
}

func (d Discarded) String() string {
	if d.Held == 0 {
		return fmt.Sprintf("%d parked events", d.Parked)
	}
	return fmt.Sprintf("%d parked and %d held events", d.Parked, d.Held)
}
