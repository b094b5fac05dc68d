// Package outcome is what a handler's error asks for. Package inbox makes such
// errors, its runners read them.
package outcome

import (
	"errors"
	"time"
)

// Kind is what is to become of a message that was not handled.
type Kind int

// The kinds.
const (
	Retry Kind = iota // what an error asks for that says nothing
	Park
	Skip
	Stop
)

// Reasons, by which operators select messages that were set aside.
const (
	Handler     = "handler"
	Panic       = "panic"
	MissingID   = "missing id"
	InvalidID   = "invalid id"
	Unprovable  = "unprovable"
	Malformed   = "malformed"
	Tombstone   = "tombstone"
	Undecodable = "undecodable"
	UnknownType = "unknown type"
)

// Error is an error of a handler, and what it asks for.
type Error struct {
	Kind   Kind
	Reason string        // a word or two that operators select by; empty for "handler"
	After  time.Duration // of Retry; 0 is the runner's own backoff
	Index  int           // of a batch, the message that failed; -1 where it is not known
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Of returns what err asks for.
func Of(err error) Error {
	var e *Error
	if !errors.As(err, &e) {
		return Error{Kind: Retry, Index: -1, Err: err}
	}
	found := *e
	// An error that names the message, around one that says what to do.
	var inner *Error
	if errors.As(e.Err, &inner) {
		found = *inner
		if found.Index < 0 {
			found.Index = e.Index
		}
	}
	found.Err = err
	return found
}
