package inbox

import (
	"errors"

	"github.com/tandem-outbox/tandem/inbox/internal/once"
)

// ErrNoTransaction is returned where the transaction is nil: without one,
// nothing ties the record of a message to its effects.
var ErrNoTransaction = errors.New("inbox: tx is nil: begin a transaction, and make the message's effects in it too")

// The reasons of an [IDError], for errors.Is. Each is for good: to try the same
// message again changes nothing.
var (
	// ErrTooOld means that the id is older than what the inbox remembers
	// (SQLSTATE TD010), so it may have been processed and forgotten.
	ErrTooOld = once.ErrTooOld
	// ErrTooNew means that the id claims to come from a future for which there
	// is no storage yet (SQLSTATE TD011). Either its maker's clock is wrong, or
	// nobody has looked after the storage for a year, see [Maintain].
	ErrTooNew = once.ErrTooNew
	// ErrInvalid means that the id or the consumer's name is empty, too long,
	// or no text that Postgres can keep (SQLSTATE TD012).
	ErrInvalid = once.ErrInvalid
)

// IDError says which id, or which consumer's name, was refused and why.
type IDError struct {
	Consumer string
	ID       string
	Field    string // "message_id" or "consumer", whichever is at fault
	Reason   error  // ErrTooOld, ErrTooNew or ErrInvalid
	Detail   string // the figures
}

// Error names the consumer, the id, what is wrong and why.
func (e *IDError) Error() string { return (*once.Problem)(e).Error() }

// Unwrap returns the Reason.
func (e *IDError) Unwrap() error { return e.Reason }

// typed gives a refusal its public type.
func typed(err error) error {
	if p, ok := errors.AsType[*once.Problem](err); ok {
		return (*IDError)(p)
	}
	return err
}
