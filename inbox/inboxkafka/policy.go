package inboxkafka

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// Policy says what becomes of a message that cannot be handled as it came.
type Policy int

const (
	// Park keeps the message in Postgres, whole, for an operator to decide.
	// What it holds meanwhile is said by Config.Hold.
	Park Policy = iota
	// Skip gives the message up. Which one and why is kept in
	// tandem.inbox_dropped, counted and logged.
	Skip
	// Accept hands the message to the handler all the same.
	Accept
	// Stop ends Run with a [*StoppedError]. The message comes again.
	Stop
)

func (p Policy) String() string {
	switch p {
	case Park:
		return "Park"
	case Skip:
		return "Skip"
	case Accept:
		return "Accept"
	case Stop:
		return "Stop"
	}
	return fmt.Sprintf("Policy(%d)", int(p))
}

// Policies are those for every sort of message that cannot be handled as it
// came. Each defaults to Park.
type Policies struct {
	// MissingID is for messages without a ce_id, where Config.MessageID gives
	// none either. Without an id a message cannot be told from a duplicate, so
	// that it cannot be accepted; see [ByOffset].
	MissingID Policy
	// InvalidID is for ids of more than 1,000 bytes, and those that are no text
	// that Postgres can keep. They cannot be accepted.
	InvalidID Policy
	// Unprovable is for ids of Tandem's kind (UUIDv7) that are older than the
	// inbox remembers, or so far in the future that there is no place for them:
	// such a message cannot be proved new. Accept handles it, and remembers its
	// id apart (tandem.inbox_late), where they can be counted. The choice is
	// recorded when the consumer starts; inbox.Once and tandem.once follow it
	// for the same consumer.
	Unprovable Policy
	// Malformed is for attributes of CloudEvents (ce_…) that are not what they
	// have to be. What can be read of them is accepted.
	Malformed Policy
	// Tombstone is for messages without a value (null). One that is accepted
	// comes to the handler with a nil Value.
	Tombstone Policy
	// Undecodable is for messages that a typed handler cannot decode, see
	// inbox.Typed. They cannot be accepted.
	Undecodable Policy
}

// check calls bad for what makes no sense.
func (p Policies) check(bad func(field, format string, args ...any)) {
	for _, f := range []struct {
		name   string
		policy Policy
		accept string // why not; empty where it may
	}{
		{"MissingID", p.MissingID, "without an id a message cannot be told from a duplicate; give it one with Config.MessageID, such as inboxkafka.ByOffset"},
		{"InvalidID", p.InvalidID, "such an id cannot be stored; give the message another with Config.MessageID"},
		{"Unprovable", p.Unprovable, ""},
		{"Malformed", p.Malformed, ""},
		{"Tombstone", p.Tombstone, ""},
		{"Undecodable", p.Undecodable, "there would be no value to hand over; use a handler that takes the message as it is"},
	} {
		switch {
		case f.policy < Park || f.policy > Stop:
			bad("Policies."+f.name, "is %d, it must be Park, Skip, Accept or Stop", int(f.policy))
		case f.policy == Accept && f.accept != "":
			bad("Policies."+f.name, "is Accept, it must be Park, Skip or Stop: %s", f.accept)
		}
	}
}

// ByOffset is a Config.MessageID for messages without ids: where the broker
// keeps them. It tells repetitions by the consumer, but not those by a producer,
// and a topic that is made anew has the same ids again.
func ByOffset(m inbox.Message) (string, error) {
	return fmt.Sprintf("%s/%d/%d", m.Topic, m.Partition, m.Offset), nil
}

// StoppedError is what Run returns where a handler or a policy asked for that.
type StoppedError struct {
	Message inbox.Message
	Err     error
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("inboxkafka: stopped at message %q, %s/%d offset %d, which stays unprocessed: %v",
		e.Message.ID, e.Message.Topic, e.Message.Partition, e.Message.Offset, e.Err)
}

func (e *StoppedError) Unwrap() error { return e.Err }

// prepare finds the message's id and applies the policies that need no database.
// An error ends Run.
func (c *Config) prepare(item *apply.Item) error {
	m := &item.Message
	item.Prepared = true
	if err := cloudevent.Problem(m); err != nil && !item.Redriven {
		if done, err := c.judge(item, c.Policies.Malformed, outcome.Malformed, err, "the producer sends what is no CloudEvent; a redrive hands it to the handler as it is"); done {
			return err
		}
	}
	if m.Value == nil && !item.Redriven {
		if done, err := c.judge(item, c.Policies.Tombstone, outcome.Tombstone, errTombstone, "a redrive hands it to the handler; Config.Policies.Tombstone is for all of them"); done {
			return err
		}
	}
	if c.Delivery == AtMostOnce {
		return nil
	}
	id, err := c.identify(*m)
	policy, reason, hint := c.Policies.MissingID, outcome.MissingID, "see Config.MessageID; a redrive handles it without one, once"
	if err == nil {
		m.ID = id
		problem := ids.Problem(ids.MessageMax, id)
		if problem == "" {
			return nil
		}
		err = &inbox.IDError{Consumer: c.Consumer, ID: id, Field: "message_id", Reason: inbox.ErrInvalid, Detail: problem}
		policy, reason, hint = c.Policies.InvalidID, outcome.InvalidID, "see Config.MessageID; a redrive handles it without its id, once"
	}
	if item.Redriven {
		item.Proof = apply.ByRow
		return nil
	}
	_, err = c.judge(item, policy, reason, err, hint)
	return err
}

// judge gives the message the verdict of a policy, and returns whether there is
// one. An error ends Run.
func (c *Config) judge(item *apply.Item, policy Policy, reason string, err error, hint string) (bool, error) {
	switch policy {
	case Accept:
		return false, nil
	case Stop:
		return true, &StoppedError{Message: item.Message, Err: err}
	case Skip:
		item.Verdict = &apply.Verdict{State: apply.Skipped, Reason: reason, Err: fmt.Errorf("%s: %w", reason, err)}
	default:
		item.Verdict = c.setAside(item, apply.Parked)
		item.Verdict.Reason, item.Verdict.Err, item.Verdict.Hint = reason, err, hint
	}
	return true, nil
}

// setAside is a verdict of that state that holds what Config.Hold says.
func (c *Config) setAside(item *apply.Item, state apply.State) *apply.Verdict {
	scope := c.Hold.scope()
	if scope == apply.Key && item.Message.Key == nil {
		scope = apply.None
	}
	return &apply.Verdict{State: state, Scope: scope, Lane: apply.LaneOf(&item.Message, scope), Attempts: item.Message.Attempt}
}

var (
	errNoID      = errors.New("the message has no id: it has no ce_id header and Config.MessageID gave none; without one it cannot be told from a duplicate")
	errPanic     = errors.New("the handler panicked")
	errTombstone = errors.New("the message has no value: a tombstone")
)

// identify asks for the message's id.
func (c *Config) identify(m inbox.Message) (id string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("Config.MessageID: %w\n%s", &apply.PanicError{Value: r}, debug.Stack())
		}
	}()
	id, err = c.MessageID(m)
	if err != nil {
		return "", fmt.Errorf("Config.MessageID: %w", err)
	}
	if id == "" {
		return "", errNoID
	}
	return id, nil
}

// Hold says what waits behind a message that is set aside.
type Hold int

const (
	// HoldKey keeps later messages of the same key and partition behind it, in
	// order; a message without a key holds nothing. All others go on.
	HoldKey Hold = iota
	// HoldPartition keeps all later messages of the partition in Kafka.
	HoldPartition
	// HoldNothing lets its successors pass: their effects come before its own.
	HoldNothing
)

func (h Hold) scope() apply.Scope {
	switch h {
	case HoldPartition:
		return apply.Partition
	case HoldNothing:
		return apply.None
	default:
		return apply.Key
	}
}

// reasonOf is a word or two that operators select by.
func reasonOf(f *apply.Failure) string {
	if f.Stack != nil {
		return outcome.Panic
	}
	return cmp.Or(f.Outcome.Reason, outcome.Handler)
}
