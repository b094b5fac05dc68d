package outboxsql

import (
	"context"
	"database/sql"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/internal/insert"
)

var inDefaultSchema = &Writer{insert.In(schema.Default)}

// Tx is a transaction: a *sql.Tx, a bun.Tx, a *sqlx.Tx, or what GORM has as its
// ConnPool within one. A *sql.DB is none, and has no Commit: the compiler refuses
// it. Commit and Rollback are not called.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	Commit() error
	Rollback() error
}

// Add adds events in tx, in their order, with one statement however many they
// are. No events are no statement and no error. Where ctx is that of a handler
// of package inbox, the events get headers that tell what they come from; see
// Headers of [outbox.Event].
//
// The error is an [*outbox.InvalidEventError] for an event that must not be
// written, [outbox.ErrNoTransaction] for a nil tx, else the driver's with what
// was being done. After an InvalidEventError about the size, and after any error
// of Postgres's, tx can only be rolled back.
func Add(ctx context.Context, tx Tx, events ...outbox.Event) error {
	return inDefaultSchema.Add(ctx, tx, events...)
}

// LockKey is [outbox.LockKey] on database/sql.
func LockKey(ctx context.Context, tx Tx, keys ...string) error {
	return inDefaultSchema.LockKey(ctx, tx, keys...)
}
