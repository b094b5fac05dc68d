// Package outbox adds events to the log in the transaction of the change they
// tell of: both are committed, or neither. No broker has to be up for it; the
// relay publishes committed events later, at least once each, unless an event asks
// for another delivery: see AtMostOnce, NotBefore and Expires of [Event].
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		// business rows …
//		return outbox.Add(ctx, tx, outbox.Event{Topic: "orders", Key: order.ID, Payload: body})
//	})
//
// What Kafka would refuse later is refused now, as an [*InvalidEventError].
//
// In a handler of package inbox, events get headers that tell which message they
// come from, and continue its trace; see Headers of [Event]. Pass on the handler's
// context, or a child of it.
//
// # What the caller still does
//
// Return the error and roll back: Postgres would not commit after most of them,
// and an event that was refused before it reached Postgres is simply not there.
//
// Keep writers of one key apart *before* they add. Events of a key are published
// in the order of their positions, which are drawn by Add. Two transactions that
// change the same row and then add are in order already: the row's lock made one
// of them wait. Where no such row is locked first, call [LockKey] before
// reading what the event is made of.
//
// Give the service's login the writer's rights: GRANT tandem_writer TO login.
//
// Services on database/sql use package outboxsql; other languages, and triggers,
// the SQL function tandem.add, which makes the same checks.
package outbox
