package inboxkafka

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// plan decides what the next step does with each of the first messages of a
// queue, and returns how many it takes.
func (p *partition) plan(q *queue) (n int, err error) {
	n = min(len(q.items), max(q.limit, 1))
	held := map[apply.Lane]bool{} // by messages of this step
	for i := range n {
		item := &q.items[i]
		if name, waits := p.behind(item, held); waits {
			p.hold(item, name)
			continue
		}
		if v := item.Verdict; v != nil && v.State == apply.Held {
			item.Verdict = nil
		}
		if !item.Prepared {
			if err := p.config.prepare(item); err != nil {
				return 0, err
			}
		}
		v := item.Verdict
		if v == nil || v.State == apply.Skipped {
			continue
		}
		held[v.Lane] = true
		if item.Aside != 0 {
			held[item.Lane] = true
		}
		if v.Scope == apply.Partition && item.Aside == 0 {
			return i + 1, nil // all that follows waits in Kafka
		}
	}
	return n, nil
}

// hold lets a message wait behind another of its lane. Whether it can be handled
// will be looked at when its turn comes.
func (p *partition) hold(item *apply.Item, lane apply.Lane) {
	item.Verdict = &apply.Verdict{State: apply.Held, Scope: apply.Key, Lane: lane}
	// Its id is for operators, and to be known when it is discarded.
	if !item.Prepared {
		item.Verdict.ID, _ = p.config.identify(item.Message)
		return
	}
	item.Verdict.ID = item.Message.ID
	cloudevent.Read(&item.Message) // the id of the message again, not the one that was made of it
	item.Prepared = false
}

// behind tells whether a message has to wait behind another of its lane.
func (p *partition) behind(item *apply.Item, held map[apply.Lane]bool) (apply.Lane, bool) {
	if item.Aside != 0 {
		return item.Lane, held[item.Lane]
	}
	if item.Message.Key == nil || len(held)+len(p.lanes.held) == 0 {
		return "", false
	}
	name := apply.LaneOf(&item.Message, apply.Key)
	_, waits := p.lanes.held[name]
	return name, waits || held[name]
}

// judge finds out which of the first n messages of a queue is at fault, and what
// is to become of it. An error ends Run.
func (p *partition) judge(q *queue, n int, f *apply.Failure) error {
	if f.Refused != nil {
		return p.refused(q, f.Refused)
	}
	i := f.Index
	if i < 0 {
		var suspects []int
		for k := range n {
			if item := &q.items[k]; !item.Known && item.Verdict == nil {
				suspects = append(suspects, k)
			}
		}
		if len(suspects) > 1 && f.Outcome.Kind != outcome.Stop {
			q.limit = suspects[len(suspects)/2] // the first half alone
			return nil
		}
		i = suspects[0]
	} else if f.Handled > 0 {
		q.limit = i // first what was handled before it
		return nil
	}
	item := &q.items[i]
	item.Message.Attempt = max(item.Message.Attempt, 1)
	switch f.Outcome.Kind {
	case outcome.Stop:
		return &StoppedError{Message: item.Message, Err: f.Err}
	case outcome.Skip:
		item.Verdict = f.Skip()
		return nil
	case outcome.Park:
		return p.park(item, f)
	}
	broken := p.broken()
	p.again(item, f, broken)
	if broken && item.Aside == 0 {
		p.rest(q, item, f)
	}
	return nil
}

// refused deals with ids that the inbox does not cover.
func (p *partition) refused(q *queue, refused map[int]error) error {
	for i, err := range refused {
		item := &q.items[i]
		if item.Redriven {
			item.Proof = apply.ByLate
			continue
		}
		decided, err := p.config.judge(item, p.config.Policies.Unprovable, outcome.Unprovable, err,
			"if it was not processed before, redrive it; Config.Policies.Unprovable is for all of them")
		if err != nil {
			return err
		}
		if !decided {
			item.Proof = apply.ByLate
		}
	}
	return nil
}

// park sets a message aside for an operator, now.
func (p *partition) park(item *apply.Item, f *apply.Failure) error {
	policy := Park
	if f.Outcome.Reason == outcome.Undecodable {
		policy = p.config.Policies.Undecodable
	}
	_, err := p.config.judge(item, policy, reasonOf(f), f.Err, "mend what the error names, then redrive")
	if v := item.Verdict; v != nil {
		v.Attempts = item.Message.Attempt
	}
	return err
}

// again lets a message be tried later, or parks it after too many attempts.
func (p *partition) again(item *apply.Item, f *apply.Failure, broken bool) {
	state := apply.Retrying
	switch {
	case broken: // what fails now says nothing about the message
	case item.Redriven || item.Message.Attempt >= p.config.MaxAttempts:
		state = apply.Parked
	}
	v := p.config.setAside(item, state)
	v.Reason, v.Err, v.Stack = reasonOf(f), f.Err, f.Stack
	v.Hint = "mend the handler or what the error names, then redrive"
	if state == apply.Retrying {
		v.Pause = f.Outcome.After
		if v.Pause == 0 {
			v.Pause = p.config.pause(item.Message.Attempt)
		}
	}
	item.Verdict = v
	if item.Aside == 0 {
		p.streak++
	}
}

// pause is that after so many attempts: between half of it and all of it, so
// that messages do not come back together.
func (c *Config) pause(attempts int) time.Duration {
	pause := c.RetryMax
	if doublings := attempts - 1; c.RetryMin <= c.RetryMax>>doublings {
		pause = c.RetryMin << doublings
	}
	return pause/2 + rand.N(pause/2+1)
}

// broken tells whether so many messages have failed in a row that it is hardly
// their fault.
func (p *partition) broken() bool { return p.streak >= p.config.BreakAfter }

// rest lets live messages go one by one, with growing pauses: each is set aside
// when it fails, so that a series of messages that are at fault comes to an end,
// and an outage sets few aside.
func (p *partition) rest(q *queue, item *apply.Item, f *apply.Failure) {
	q.limit = 1
	p.resume = time.Now().Add(p.probes.next())
	m := &item.Message
	attrs := []any{"failed", p.streak, "message_id", m.ID, "offset", m.Offset, "error", f.Err}
	if f.Stack != nil {
		attrs = append(attrs, "stack", string(f.Stack))
	}
	p.breaking.error(fmt.Sprintf("broken, panic %t", f.Stack != nil),
		"message after message fails, which is hardly their fault; one is tried at a time, with pauses, until one succeeds", attrs...)
}
