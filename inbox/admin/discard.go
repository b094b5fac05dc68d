package admin

import (
	"context"
	"fmt"
)

// Discard gives up messages that match: they will not be handled,
// tandem.inbox_dropped keeps who decided that and why, and what they held goes
// on. It takes parked and retrying messages; with held set also those that wait
// behind one. Not those that an operator has asked to be handled again, nor what
// waits behind these. Where there is nothing to give up, the error is a
// NothingError.
func (o *Operator) Discard(ctx context.Context, s Selector, held bool, by, why string) (Discarded, error) {
	var d Discarded
	if err := o.change(ctx, "discard", sqlDiscard, s.arguments(held, by, why), &d.First, &d.Held); err != nil {
		return d, err
	}
	if d.First+d.Held == 0 {
		return d, o.nothing(ctx, s)
	}
	return d, nil
}

// Discarded counts what was given up.
type Discarded struct {
	First int64 `json:"parked"` // parked and retrying ones
	Held  int64 `json:"held"`
}

func (d Discarded) String() string {
	if d.Held == 0 {
		return fmt.Sprintf("%d parked messages", d.First)
	}
	return fmt.Sprintf("%d parked and %d held messages", d.First, d.Held)
}
