package outboxsql

import (
	"context"
	"errors"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/internal/sqltx"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/internal/insert"
)

// Writer writes to the log of one schema, as [outbox.Writer] does.
type Writer struct {
	statements insert.Statements
}

// NewWriter returns a Writer for a schema other than the default, "tandem". The
// error says what is wrong with the name; whether the schema exists shows when
// the Writer is used.
func NewWriter(schemaName string) (*Writer, error) {
	if err := schema.Check(schemaName); err != nil {
		return nil, err
	}
	return &Writer{insert.In(schemaName)}, nil
}

// Add is the function [Add] for this Writer's schema.
func (w *Writer) Add(ctx context.Context, tx Tx, events ...outbox.Event) error {
	beneath := sqltx.Beneath(tx)
	if beneath == nil {
		return outbox.ErrNoTransaction
	}
	columns := insert.NewColumns(ctx, len(events))
	for _, e := range events {
		if err := columns.Append(insert.Event(e)); err != nil {
			return typed(err)
		}
	}
	if columns.Len() == 0 {
		return nil
	}
	statement, parameters := w.insert(columns)
	_, err := beneath.ExecContext(ctx, statement, parameters...)
	return typed(w.statements.Result(columns, err))
}

// insert returns the statement for these events with its arguments.
func (w *Writer) insert(c *insert.Columns) (statement string, parameters []any) {
	if c.Len() == 1 {
		return w.statements.One, c.One()
	}
	return w.statements.Insert, arguments(c)
}

// LockKey is the function [LockKey] for this Writer's schema.
func (w *Writer) LockKey(ctx context.Context, tx Tx, keys ...string) error {
	beneath := sqltx.Beneath(tx)
	if beneath == nil {
		return outbox.ErrNoTransaction
	}
	if len(keys) == 0 {
		return nil
	}
	_, err := beneath.ExecContext(ctx, w.statements.LockKey, textArray(keys))
	return w.statements.Locked(err)
}

// typed gives a refusal its public type.
func typed(err error) error {
	if p, ok := errors.AsType[*insert.Problem](err); ok {
		return (*outbox.InvalidEventError)(p)
	}
	return err
}
