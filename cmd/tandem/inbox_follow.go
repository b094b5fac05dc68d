package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
)

// askedConsumers tells what was asked for and, with --wait, follows it to its end.
func (o *operator) askedConsumers(ctx context.Context, sys system, desk *inboxadmin.Operator, r inboxadmin.Redrive) error {
	o.note(sys, "%d messages are to be handled again", r.Total)
	gone, err := absentees(ctx, desk, r)
	if err != nil {
		return err
	}
	if gone != "" {
		o.note(sys, "%s: the request stays, and is carried out when the consumer is started", gone)
	}
	if o.follow.wait {
		if r, err = o.awaitConsumers(ctx, sys, desk, r); err != nil {
			return err
		}
		if r.Failed == 0 {
			o.note(sys, "done, %d of %d messages handled", r.Handled, r.Total)
		}
	}
	if o.asJSON {
		if err := printJSON(sys, r); err != nil {
			return err
		}
	}
	return failedAgain(r)
}

// absentees names partitions that nobody consumes, three at the most.
func absentees(ctx context.Context, desk *inboxadmin.Operator, r inboxadmin.Redrive) (string, error) {
	gone, err := desk.Unattended(ctx, r)
	names := make([]string, 0, len(gone))
	for _, owner := range gone[:min(3, len(gone))] {
		names = append(names, owner.String())
	}
	text := strings.Join(names, "; ")
	if more := len(gone) - 3; more > 0 {
		text += fmt.Sprintf("; so it is with %d more partitions", more)
	}
	return text, err
}

// awaitConsumers shows how far they are, not more often than once in two seconds.
func (o *operator) awaitConsumers(ctx context.Context, sys system, desk *inboxadmin.Operator, r inboxadmin.Redrive) (inboxadmin.Redrive, error) {
	waiting, cancel := o.follow.limit(ctx)
	defer cancel()
	shown := time.Now()
	r, err := desk.Wait(waiting, r, func(now inboxadmin.Redrive) {
		if time.Since(shown) > 2*time.Second && now.Waiting > 0 {
			shown = time.Now()
			o.note(sys, "%d of %d messages handled, %d failed", now.Handled, now.Total, now.Failed)
		}
	})
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return r, err
	}
	text := fmt.Sprintf("stopped waiting after %d of %d messages, %d failed: the consumers go on with %d", r.Handled, r.Total, r.Failed, r.Waiting)
	if ctx.Err() == nil {
		if gone, err := absentees(ctx, desk, r); err == nil && gone != "" {
			text += "; " + gone
		}
	}
	return r, errors.New(text)
}

// failedAgain is the error of a redrive that did not go well. Of many failures it
// has the first.
func failedAgain(r inboxadmin.Redrive) error {
	if r.Failed == 0 {
		return nil
	}
	f := r.Failures[0]
	return fmt.Errorf("%d of %d messages handled, %d failed again, among them %d (consumer %s, %s/%d offset %d, id %q): %s; tandem inbox parked list shows them",
		r.Handled, r.Total, r.Failed, f.Aside, f.Consumer, f.Topic, f.Partition, f.Offset, f.ID, printable(f.Error, 500))
}
