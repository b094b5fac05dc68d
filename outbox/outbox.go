package outbox

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/outbox/internal/insert"
)

var inDefaultSchema = &Writer{insert.In(schema.Default)}

// Add adds events in tx, in their order, with one statement however many they
// are. No events are no statement and no error. Where ctx is that of a handler
// of package inbox, the events get headers that tell what they come from; see
// Headers of [Event].
//
// The error is an [*InvalidEventError] for an event that must not be written,
// [ErrNoTransaction] for a nil tx, else Postgres's with what was being done.
// After an InvalidEventError about the size, and after any error of Postgres's,
// tx can only be rolled back.
func Add(ctx context.Context, tx pgx.Tx, events ...Event) error {
	return inDefaultSchema.Add(ctx, tx, events...)
}

// Queue is Add without a round trip of its own: it queues the statement on a
// batch, to be sent with the caller's other statements by tx.SendBatch. (Sent on
// a pool, the batch is a transaction of its own.) Payloads must stay as they are
// until then. Of ctx it takes what Add takes, what the events come from.
//
// What can be checked before is an error here, and nothing is queued. The rest
// comes from the Close of the batch's results, as the same types of error as
// from Add. Who reads the results one by one instead gets Postgres's error with
// code TD001 for an event that is too large.
func Queue(ctx context.Context, batch *pgx.Batch, events ...Event) error {
	return inDefaultSchema.Queue(ctx, batch, events...)
}

// LockKey makes other transactions that call it for one of these keys wait until
// tx has ended. It is for writers that hold no lock of their key otherwise; call
// it before reading what the event is made of. Name all keys in one call: it
// locks them in an order that is the same for everyone, so that two callers
// cannot deadlock, which separate calls can. An empty key is no key: it locks
// nothing.
//
// In REPEATABLE READ call it first: what is read later is as of its start.
// The locks are advisory ones of the database, whatever the schema, and shared
// with the SQL function tandem.lock_key. Each takes a place in Postgres's lock
// table, so some thousands of keys in one transaction are too many.
func LockKey(ctx context.Context, tx pgx.Tx, keys ...string) error {
	return inDefaultSchema.LockKey(ctx, tx, keys...)
}
