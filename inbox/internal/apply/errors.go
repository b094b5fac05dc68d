package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// ErrEnded means that the handler ended the batch's transaction by an SQL
// statement. Ids may have been committed whose messages were not handled;
// to go on would hide that.
var ErrEnded = errors.New("the handler ended the batch's transaction itself, by a COMMIT or ROLLBACK statement: " +
	"messages of the batch after this one may be recorded as processed without having been handled")

var (
	errLost     = errors.New("the server or the network closed it")
	errNotYours = errors.New("the transaction holds a whole batch and is committed by the consumer: return nil to commit, an error to roll back, or use tx.Begin for a savepoint")
	errIdle     = errors.New("the handler let its transaction wait for longer than IdleTimeout allows, and Postgres ended the session: do what is slow elsewhere, or raise IdleTimeout")
	errBusy     = errors.New("the handler returned while it was still reading a result: close its rows")
	errAborted  = errors.New("a statement of the handler failed and the handler returned nil: Postgres cannot commit such a transaction; return the error, or make the attempt in a savepoint (tx.Begin)")
)

// ErrFenced means that the partition has another owner.
var ErrFenced = errors.New("another consumer has taken the partition over")

// ErrChanged means that an operator has changed what was set aside.
var ErrChanged = errors.New("a message that was set aside has been discarded meanwhile")

// Failure is an error of a message or its handler.
type Failure struct {
	Index   int // of the item; -1 where it could be any of them
	Handled int // messages that were handled before it in the same transaction
	Err     error
	Outcome outcome.Error // what Err asks for
	Stack   []byte        // of a panic
	// Refused are messages whose ids the inbox cannot keep, by index; then
	// nothing was handled, and the rest is not set.
	Refused map[int]error
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return f.Err.Error()
	}
	for _, err := range f.Refused {
		return err.Error()
	}
	return "refused"
}

func (f *Failure) Unwrap() error {
	if f.Err != nil {
		return f.Err
	}
	for _, err := range f.Refused {
		return err
	}
	return nil
}

// Skip is the verdict on a message whose handler asks for it to be skipped.
func (f *Failure) Skip() *Verdict {
	return &Verdict{State: Skipped, Reason: cmp.Or(f.Outcome.Reason, "handler"), Err: f.Err}
}

// PanicError is a panic of the handler.
type PanicError struct{ Value any }

func (p *PanicError) Error() string { return fmt.Sprintf("the handler panicked: %v", p.Value) }

// Unwrap returns the value where it is an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Conflict tells whether err is one that overlapping batches of two consumers
// bring with them in the normal course of things.
func Conflict(err error) bool {
	switch code(err) {
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return true
	}
	return false
}

// idled tells whether Postgres has ended the session because the handler let the
// transaction wait for too long.
func idled(err error) bool { return code(err) == "25P03" } // idle_in_transaction_session_timeout

// gaveUp tells whether a context of the handler's own has ended in the midst of a
// statement, which costs pgx the connection. A message that always does that is
// no trouble of the database.
func gaveUp(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// Repeats tells whether an error, a handler's too, says more about the database than
// about who met it: what to do is to try again.
func Repeats(err error) bool {
	if Conflict(err) {
		return true
	}
	switch c := code(err); c {
	case "57P01", "57P02", "57P03", // shut down, crash, starting up
		"25P03", "57P05", // idle time-outs: the connection is gone
		"53300": // too many connections
		return true
	default:
		return len(c) == 5 && c[:2] == "08" // connection exceptions
	}
}

// commitError tells constraints that are checked at commit, which are the
// handler's, from the rest.
func commitError(err error, handled int) error {
	if c := code(err); c != "" && !Repeats(err) && handled > 0 {
		err = fmt.Errorf("commit: %w", err)
		return &Failure{Index: -1, Err: err, Outcome: outcome.Of(err)}
	}
	return fmt.Errorf("commit a batch: %w", err)
}

func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
