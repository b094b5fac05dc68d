package inbox

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNoTransaction is returned where the transaction is nil: without one,
// nothing ties the record of a message to its effects.
var ErrNoTransaction = errors.New("inbox: tx is nil: begin a transaction, and make the message's effects in it too")

// The reasons of an [IDError], for errors.Is. Each is for good: to try the same
// message again changes nothing.
var (
	// ErrTooOld means that the id is older than what the inbox remembers
	// (SQLSTATE TD010), so it may have been processed and forgotten.
	ErrTooOld = errors.New("older than the inbox remembers")
	// ErrTooNew means that the id claims to come from a future for which there
	// is no storage yet (SQLSTATE TD011). Either its maker's clock is wrong, or
	// nobody has called tandem.maintain_inbox() for a year.
	ErrTooNew = errors.New("newer than the inbox has room for")
	// ErrInvalid means that the id or the consumer's name is empty, too long,
	// or no text that Postgres can keep (SQLSTATE TD012).
	ErrInvalid = errors.New("invalid")
)

// IDError says which id, or which consumer's name, was refused and why.
type IDError struct {
	Consumer string
	ID       string
	Field    string // "message_id" or "consumer", whichever is at fault
	Reason   error  // ErrTooOld, ErrTooNew or ErrInvalid
	Detail   string // the figures
}

func (e *IDError) Error() string {
	return fmt.Sprintf("inbox: consumer %s, message id %s: %s is %v: %s", short(e.Consumer), short(e.ID), e.Field, e.Reason, e.Detail)
}

// Unwrap returns the Reason.
func (e *IDError) Unwrap() error { return e.Reason }

// explain turns what tandem.once raises into an IDError.
func explain(err error, consumer, id string) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("inbox: consumer %s, message id %s: %w", short(consumer), short(id), err)
	}
	e := &IDError{Consumer: consumer, ID: id, Field: pg.ColumnName, Detail: pg.Message}
	switch pg.Code {
	case "TD010":
		e.Reason = ErrTooOld
	case "TD011":
		e.Reason = ErrTooNew
	case "TD012":
		e.Reason = ErrInvalid
	case "42883", "3F000", "42P01": // undefined_function, invalid_schema_name, undefined_table
		return fmt.Errorf("inbox: the schema is missing or too old, run `tandem migrate up`: %w", err)
	default:
		return fmt.Errorf("inbox: consumer %s, message id %s: %w", short(consumer), short(id), err)
	}
	return e
}

// short quotes s, and cuts what is too long for a log line.
func short(s string) string {
	if len(s) > 100 {
		return fmt.Sprintf("%q… (%d bytes)", s[:100], len(s))
	}
	return fmt.Sprintf("%q", s)
}
