package outboxsql

import (
	"context"
	"database/sql"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/internal/insert"
)

var inDefaultSchema = &Writer{insert.In(schema.Default)}

// Add adds events in tx, in their order, with one statement however many they
// are. No events are no statement and no error.
//
// The error is an [*outbox.InvalidEventError] for an event that must not be
// written, [outbox.ErrNoTransaction] for a nil tx, else the driver's with what
// was being done. After an InvalidEventError about the size, and after any error
// of Postgres's, tx can only be rolled back.
func Add(ctx context.Context, tx *sql.Tx, events ...outbox.Event) error {
	return inDefaultSchema.Add(ctx, tx, events...)
}

// LockKey is [outbox.LockKey] on database/sql.
func LockKey(ctx context.Context, tx *sql.Tx, keys ...string) error {
	return inDefaultSchema.LockKey(ctx, tx, keys...)
}
