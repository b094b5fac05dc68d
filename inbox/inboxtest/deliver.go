package inboxtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// conflictsMax is how often a batch meets a conflict with others in a row, until
// something is taken to be wrong.
const conflictsMax = 20

// delivery is messages on their way, step by step: a step is one transaction. What
// fails in a step is taken out, and the others go again, as a runner does it.
type delivery struct {
	*Consumer
	outcomes []Outcome
	items    []apply.Item // that have no outcome yet
	from     []int        // the message of each
	limit    int          // how many of them the next step takes
	held     map[apply.Lane]bool
}

// deliver returns an error where the database has one, or the handler has ended the
// transaction. What was committed before that is not known then.
func (c *Consumer) deliver(ctx context.Context, messages []inbox.Message) ([]Outcome, error) {
	d := &delivery{Consumer: c, outcomes: make([]Outcome, len(messages)), held: map[apply.Lane]bool{}}
	for i, m := range messages {
		m.Attempt = max(m.Attempt, 1)
		d.items, d.from = append(d.items, apply.Item{Message: m}), append(d.from, i)
	}
	d.limit = len(messages)
	for conflicts := 0; len(d.items) > 0; {
		if !d.plan() {
			continue
		}
		n := min(d.limit, len(d.items))
		_, err := d.apply.Apply(ctx, nil, d.items[:n])
		var f *apply.Failure
		switch {
		case err == nil:
			d.settle(n)
		case errors.As(err, &f):
			d.failed(n, f)
		case apply.Conflict(err) && conflicts < conflictsMax:
			conflicts++
			continue
		default:
			return nil, fmt.Errorf("deliver a batch: %w", err)
		}
		conflicts = 0
	}
	return d.outcomes, nil
}

// plan takes out what is wrong as it came and what waits behind another message. It
// returns whether something is left for the step.
func (d *delivery) plan() bool {
	for i := 0; i < min(d.limit, len(d.items)); {
		m := &d.items[i].Message
		if m.Key != nil && d.held[apply.LaneOf(m, apply.Key)] {
			d.out(i, Outcome{State: Held})
		} else if reason, err := wrong(m); err != nil && d.items[i].Verdict == nil {
			d.out(i, Outcome{State: Parked, Reason: reason, Err: err})
		} else {
			i++
		}
	}
	return len(d.items) > 0
}

// wrong is what a runner parks a message for before it looks into the database.
func wrong(m *inbox.Message) (reason string, err error) {
	if err := cloudevent.Problem(m); err != nil {
		return outcome.Malformed, err
	}
	if m.Value == nil {
		return outcome.Tombstone, errors.New("the message has no value: a tombstone")
	}
	if m.ID == "" {
		return outcome.MissingID, errors.New("the message has no id: without one it cannot be told from a duplicate")
	}
	if problem := ids.Problem(ids.MessageMax, m.ID); problem != "" {
		return outcome.InvalidID, errors.New(problem)
	}
	return "", nil
}

// out gives the i-th item an outcome. Where that is no progress, what comes after it
// in its key is held.
func (d *delivery) out(i int, o Outcome) {
	m := &d.items[i].Message
	d.outcomes[d.from[i]] = o
	if m.Key != nil && (o.State == Failed || o.State == Parked || o.State == Held) {
		d.held[apply.LaneOf(m, apply.Key)] = true
	}
	d.items = append(d.items[:i:i], d.items[i+1:]...)
	d.from = append(d.from[:i:i], d.from[i+1:]...)
}

// settle takes out the first n items, which are committed.
func (d *delivery) settle(n int) {
	for range n {
		switch item := &d.items[0]; {
		case item.Known:
			d.out(0, Outcome{State: Duplicate})
		case item.Verdict != nil:
			d.out(0, Outcome{State: Skipped, Reason: item.Verdict.Reason, Err: item.Verdict.Err})
		default:
			d.out(0, Outcome{State: Handled})
		}
	}
	d.limit = len(d.items)
}

// failed finds out which message it was, and what is to become of it. Nothing of the
// step was committed.
func (d *delivery) failed(n int, f *apply.Failure) {
	if f.Refused != nil {
		for i := n - 1; i >= 0; i-- {
			if err := f.Refused[i]; err != nil {
				d.out(i, Outcome{State: Parked, Reason: outcome.Unprovable, Err: err})
			}
		}
		return
	}
	i := f.Index
	if i < 0 {
		var suspects []int
		for k := range n {
			if item := &d.items[k]; !item.Known && item.Verdict == nil {
				suspects = append(suspects, k)
			}
		}
		if len(suspects) > 1 && f.Outcome.Kind != outcome.Stop {
			d.limit = suspects[len(suspects)/2] // the first half alone
			return
		}
		i = suspects[0]
	} else if f.Handled > 0 {
		d.limit = i // first what was handled before it
		return
	}
	reason := cmp.Or(f.Outcome.Reason, outcome.Handler)
	if f.Stack != nil {
		reason = outcome.Panic
	}
	switch f.Outcome.Kind {
	case outcome.Skip:
		d.items[i].Verdict = f.Skip()
	case outcome.Park:
		d.out(i, Outcome{State: Parked, Reason: reason, Err: f.Err})
	case outcome.Stop:
		for len(d.items) > i {
			d.out(i, Outcome{State: Stopped, Err: f.Err})
		}
	default:
		d.out(i, Outcome{State: Failed, Reason: reason, Err: f.Err, RetryAfter: f.Outcome.After})
	}
}
