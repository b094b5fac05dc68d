package outbox

import (
	"context"
	"errors"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/outbox/internal/insert"
)

// ErrNoTransaction is returned where an event has no transaction, or no batch,
// to go with: outside one it could be lost, or announce what never happened.
var ErrNoTransaction = errors.New("outbox: no transaction given (nil); add events in the transaction of the change they tell of")

// Writer writes to the log of one schema. It has no state and may be used by
// any number of goroutines. The package's functions are those of a Writer for
// the default schema.
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
func (w *Writer) Add(ctx context.Context, tx pgx.Tx, events ...Event) error {
	if isNil(tx) {
		return ErrNoTransaction
	}
	columns, err := check(ctx, events)
	if err != nil || columns.Len() == 0 {
		return err
	}
	statement, arguments := w.insert(columns)
	_, err = tx.Exec(ctx, statement, arguments...)
	return typed(w.statements.Result(columns, err))
}

// Queue is the function [Queue] for this Writer's schema.
func (w *Writer) Queue(ctx context.Context, batch *pgx.Batch, events ...Event) error {
	if batch == nil {
		return ErrNoTransaction
	}
	columns, err := check(ctx, events)
	if err != nil || columns.Len() == 0 {
		return err
	}
	statement, arguments := w.insert(columns)
	query := batch.Queue(statement, arguments...)
	// Not query.Exec, whose callback is for success alone.
	query.Fn = func(results pgx.BatchResults) error {
		_, err := results.Exec()
		return typed(w.statements.Result(columns, err))
	}
	return nil
}

// LockKey is the function [LockKey] for this Writer's schema.
func (w *Writer) LockKey(ctx context.Context, tx pgx.Tx, keys ...string) error {
	if isNil(tx) {
		return ErrNoTransaction
	}
	if len(keys) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, w.statements.LockKey, keys)
	return w.statements.Locked(err)
}

func check(ctx context.Context, events []Event) (*insert.Columns, error) {
	columns := insert.NewColumns(ctx, len(events))
	for _, e := range events {
		if err := columns.Append(insert.Event(e)); err != nil {
			return nil, typed(err)
		}
	}
	return columns, nil
}

// typed gives a refusal its public type.
func typed(err error) error {
	if p, ok := errors.AsType[*insert.Problem](err); ok {
		return (*InvalidEventError)(p)
	}
	return err
}

// insert returns the statement for these events with its arguments, which are of
// types that pgx can also send where it does not ask the server for the
// parameters' types first (behind a pooler, say).
func (w *Writer) insert(c *insert.Columns) (statement string, arguments []any) {
	if c.Len() == 1 {
		arguments = c.One()
		arguments[0] = pgtype.UUID{Bytes: c.IDs[0], Valid: true}
		return w.statements.One, arguments
	}
	ids := make([]pgtype.UUID, len(c.IDs))
	for i, id := range c.IDs {
		ids[i] = pgtype.UUID{Bytes: id, Valid: true}
	}
	return w.statements.Insert, []any{ids, c.Topics, c.Partitions, c.Keys, c.Types, c.Headers, c.Payloads, c.Sizes, c.AtMostOnce, c.NotBefore, c.Expires}
}

// isNil also finds a nil pointer inside the interface, such as a
// (*pgxpool.Tx)(nil) from a function that failed.
func isNil(tx pgx.Tx) bool {
	if tx == nil {
		return true
	}
	v := reflect.ValueOf(tx)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
