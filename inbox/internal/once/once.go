// Package once is the one statement of inbox.Once: what is checked before it, its
// text, and what its failures mean. Packages inbox (pgx) and inboxsql
// (database/sql) hand it to their drivers.
package once

import (
	"errors"
	"fmt"

	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/internal/pgerror"
	"github.com/tandem-outbox/tandem/internal/schema"
)

const statement = `SELECT tandem.once($1::text, $2::text)`

// Statement is the statement for a schema, whose parameters are the consumer and
// the id; an empty name means the default. The error is about the name.
func Statement(schemaName string) (string, error) {
	if schemaName == "" {
		return statement, nil
	}
	if err := schema.Check(schemaName); err != nil {
		return "", fmt.Errorf("inbox: %w", err)
	}
	return schema.Rewrite(statement, schemaName), nil
}

// The reasons of a Problem, which package inbox documents.
var (
	ErrTooOld  = errors.New("older than the inbox remembers")
	ErrTooNew  = errors.New("newer than the inbox has room for")
	ErrInvalid = errors.New("invalid")
)

// Problem has the fields of inbox.IDError, which documents them.
type Problem struct {
	Consumer string
	ID       string
	Field    string
	Reason   error
	Detail   string
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%s: %s is %v: %s", about(p.Consumer, p.ID), p.Field, p.Reason, p.Detail)
}

// Unwrap returns the Reason.
func (p *Problem) Unwrap() error { return p.Reason }

// Check refuses what the statement need not be asked about. The error is a
// *Problem.
func Check(consumer, id string) error {
	if problem := ids.Problem(ids.ConsumerMax, consumer); problem != "" {
		return &Problem{Consumer: consumer, ID: id, Field: "consumer", Reason: ErrInvalid, Detail: problem}
	}
	if problem := ids.Problem(ids.MessageMax, id); problem != "" {
		return &Problem{Consumer: consumer, ID: id, Field: "message_id", Reason: ErrInvalid, Detail: problem}
	}
	return nil
}

// Explain turns what tandem.once raises into a *Problem, and says what to do about
// the rest where Postgres does not.
func Explain(err error, consumer, id string) error {
	p := &Problem{Consumer: consumer, ID: id, Field: pgerror.Column(err), Detail: pgerror.Message(err)}
	switch pgerror.State(err) {
	case "TD010":
		p.Reason = ErrTooOld
	case "TD011":
		p.Reason = ErrTooNew
	case "TD012":
		p.Reason = ErrInvalid
	case "42883", "3F000", "42P01": // undefined_function, invalid_schema_name, undefined_table
		return fmt.Errorf("inbox: the schema is missing or too old, run `tandem migrate up`: %w", err)
	default:
		return fmt.Errorf("%s: %w", about(consumer, id), err)
	}
	return p
}

func about(consumer, id string) string {
	return fmt.Sprintf("inbox: consumer %s, message id %s", ids.Quoted(consumer), ids.Quoted(id))
}
