package inboxtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// conflictsMax is how often a batch meets a conflict with others in a row, until
// something is taken to be wrong.
const conflictsMax = 20

// delivery is messages on their way, step by step, as a runner's: a step is one
// transaction with the first messages of the queue. When it fails, the message that it
// failed for gets an outcome, and the step is planned anew.
type delivery struct {
	*Consumer
	outcomes []Outcome
	queue    []*waiting
	limit    int                 // how many of the queue the next step takes
	held     map[apply.Lane]bool // by messages of earlier steps
}

// waiting is a message that is not committed yet.
type waiting struct {
	apply.Item
	outcome *Outcome // where it is not to be handled
	looked  bool     // at how it came
}

// deliver returns an error where the database has one, or the handler has ended the
// transaction. What was committed before that is not known then.
func (c *Consumer) deliver(ctx context.Context, messages []inbox.Message) ([]Outcome, error) {
	d := &delivery{Consumer: c, limit: len(messages), held: map[apply.Lane]bool{}}
	for _, m := range messages {
		m.Attempt = max(m.Attempt, 1)
		d.queue = append(d.queue, &waiting{Item: apply.Item{Message: m}})
	}
	for conflicts := 0; len(d.queue) > 0; {
		n := min(d.limit, len(d.queue))
		err := d.step(ctx, n)
		switch {
		case err == nil:
			conflicts = 0
		case apply.Conflict(err) && conflicts < conflictsMax:
			conflicts++
		default:
			return nil, fmt.Errorf("deliver a batch: %w", err)
		}
	}
	return d.outcomes, nil
}

// step tries to commit the first n messages.
func (d *delivery) step(ctx context.Context, n int) error {
	d.plan(n)
	var items []apply.Item
	var from []*waiting
	for _, w := range d.queue[:n] {
		if w.outcome == nil {
			items, from = append(items, w.Item), append(from, w)
		}
	}
	if len(items) > 0 {
		_, err := d.apply.Apply(ctx, nil, items)
		for i, w := range from {
			w.Known, w.Verdict = items[i].Known, items[i].Verdict
		}
		var f *apply.Failure
		if errors.As(err, &f) {
			d.failed(from, f)
			return nil
		}
		if err != nil {
			return err
		}
	}
	d.commit(n)
	return nil
}

// plan says what is to become of those of the first n messages that are not handled.
func (d *delivery) plan(n int) {
	held := maps.Clone(d.held)
	for _, w := range d.queue[:n] {
		m := &w.Message
		if m.Key != nil && held[apply.LaneOf(m, apply.Key)] {
			*w = waiting{Item: apply.Item{Message: *m}, outcome: &Outcome{State: Held}}
			continue
		}
		if w.outcome != nil && w.outcome.State == Held {
			w.outcome = nil // what it was behind is behind another one itself
		}
		if !w.looked {
			w.looked = true
			if reason, err := wrong(m); err != nil {
				w.outcome = &Outcome{State: Parked, Reason: reason, Err: err}
			}
		}
		if w.outcome != nil && m.Key != nil {
			held[apply.LaneOf(m, apply.Key)] = true
		}
	}
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

// commit takes note of the first n messages, which are done with.
func (d *delivery) commit(n int) {
	for _, w := range d.queue[:n] {
		o := Outcome{State: Handled}
		switch v := w.Verdict; {
		case w.outcome != nil:
			o = *w.outcome
			if w.Message.Key != nil {
				d.held[apply.LaneOf(&w.Message, apply.Key)] = true
			}
		case w.Known:
			o.State = Duplicate
		case v != nil:
			o = Outcome{State: Skipped, Reason: v.Reason, Err: v.Err}
		}
		d.outcomes = append(d.outcomes, o)
	}
	d.queue = d.queue[n:]
	d.limit = len(d.queue)
}

// failed finds out which of the messages of a step it was, and what is to become of
// it. Nothing of the step was committed.
func (d *delivery) failed(step []*waiting, f *apply.Failure) {
	if f.Refused != nil {
		for i, err := range f.Refused {
			step[i].outcome = &Outcome{State: Parked, Reason: outcome.Unprovable, Err: err}
		}
		return
	}
	var w *waiting
	if f.Index >= 0 {
		w = step[f.Index]
		if f.Handled > 0 {
			d.limit = slices.Index(d.queue, w) // first what was handled before it
			return
		}
	} else {
		suspects := slices.DeleteFunc(slices.Clone(step), func(w *waiting) bool { return w.Known || w.Verdict != nil })
		if len(suspects) > 1 && f.Outcome.Kind != outcome.Stop {
			d.limit = slices.Index(d.queue, suspects[len(suspects)/2]) // the first half alone
			return
		}
		w = suspects[0]
	}
	reason := cmp.Or(f.Outcome.Reason, outcome.Handler)
	if f.Stack != nil {
		reason = outcome.Panic
	}
	switch f.Outcome.Kind {
	case outcome.Skip:
		w.Verdict = f.Skip()
	case outcome.Park:
		w.outcome = &Outcome{State: Parked, Reason: reason, Err: f.Err}
	case outcome.Stop:
		d.stop(slices.Index(d.queue, w), f.Err)
	default:
		w.outcome = &Outcome{State: Failed, Reason: reason, Err: f.Err, RetryAfter: f.Outcome.After}
	}
}

// stop ends the delivery with the i-th message. None before it was handled.
func (d *delivery) stop(i int, err error) {
	d.commit(i)
	for range d.queue {
		d.outcomes = append(d.outcomes, Outcome{State: Stopped, Err: err})
	}
	d.queue = nil
}
