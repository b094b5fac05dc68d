package inboxtest

import (
	"fmt"
	"strings"
	"time"
)

// State is what became of a message.
type State string

// The states.
const (
	// Handled means that the effects and the id are committed.
	Handled State = "handled"
	// Duplicate means that the id was known: the handler was not called.
	Duplicate State = "duplicate"
	// Skipped means that the handler returned [inbox.Skip]: the id is committed,
	// without effects.
	Skipped State = "skipped"
	// Failed means that nothing of the message is committed and that a runner would
	// try it again.
	Failed State = "failed"
	// Parked means that nothing of the message is committed and that a runner would
	// keep it for an operator.
	Parked State = "parked"
	// Held means that the handler was not called, because a message of the same key
	// before it in the batch is failed, parked or held.
	Held State = "held"
	// Stopped means that the handler returned [inbox.Stop], for this message or one
	// before it in the batch, which ends a runner.
	Stopped State = "stopped"
)

// Outcome is what became of a message, and why.
type Outcome struct {
	State State
	// Reason is that of Failed, Parked and Skipped, as operators select by it:
	// "handler", "panic", "undecodable", "unprovable", "tombstone" and others.
	Reason string
	// Err is the handler's error, or what is wrong with the message.
	Err error
	// RetryAfter is the pause that the handler asks for; 0 is the runner's own.
	RetryAfter time.Duration
}

// String is the outcome for people, such as "parked (undecodable): …".
func (o Outcome) String() string {
	var b strings.Builder
	b.WriteString(string(o.State))
	if o.Reason != "" {
		fmt.Fprintf(&b, " (%s)", o.Reason)
	}
	if o.Err != nil {
		fmt.Fprintf(&b, ": %v", o.Err)
	}
	return b.String()
}
