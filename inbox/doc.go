// Package inbox makes the effects of a message happen once, however often the
// message is delivered.
//
// Delivery is at least once: Kafka repeats after a crash, a webhook's sender
// after a time-out, a client after a lost answer. [Once] records the message's
// id in the transaction that holds the message's effects and tells whether it
// was there already. Both are committed or neither is:
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		first, err := inbox.Once(ctx, tx, "billing", messageID)
//		if err != nil || !first {
//			return err
//		}
//		_, err = tx.Exec(ctx, `INSERT INTO charges …`)
//		return err
//	})
//
// It needs Postgres and pgx alone, and knows no broker. Package
// [github.com/tandem-outbox/tandem/inbox/inboxkafka] is the runner for Kafka,
// which does the same for a batch of messages at a time;
// [github.com/tandem-outbox/tandem/inbox/inboxhttp] does it for HTTP requests with
// an Idempotency-Key, and gives a repetition the same answer.
//
// # What the caller still has to do
//
//   - Keep every effect in that transaction. A mail, or a call of another
//     service, is outside of it and happens as often as the message arrives.
//   - Acknowledge the message after the commit, never before.
//   - Return the error: after one the transaction is to be rolled back.
//   - Run [Maintain], or `tandem inbox maintain` from cron, where neither a relay
//     nor an inboxkafka consumer runs on the database.
//
// # Messages of several types
//
// A [Router] hands messages to handlers by their type, and a handler made by
// [Typed] gets them decoded: by [JSON], or by any function that is a [Codec].
// What it cannot do is parked with a reason to select by: a type that nobody
// handles, a payload that cannot be decoded, a null value.
//
//	router := inbox.NewRouter()
//	inbox.On(router, "order.placed", inbox.JSON[Order](), charge)
//	router.Handle("order.viewed", inbox.Ignore)
//
// # Consume, effects, produce
//
// A handler may add events in the transaction of its effects, with package outbox
// and the context it was given. They tell what they come from: see [WithCause].
//
// # Ids
//
// An id is any text of 1 to 1,000 bytes. A text of the form 8-4-4-4-12 is that
// UUID, in whatever case it is written; every other text is itself. What
// Tandem's outbox sends are UUIDs of version 7, which carry the time they were
// made, so their records are emptied by age. One that is older than the inbox
// remembers cannot be proved new, nor one from a future that it has no storage
// for: [ErrTooOld], [ErrTooNew], or what [SetPolicy] asks for.
//
// # Storage
//
// Ids of version 7 lie in leaves of a week each, made a year ahead and emptied as a
// whole when all in them are older than tandem.inbox_bounds.retention (14 days).
// All other ids, and what [Process] has let pass, are deleted in small batches
// foreign_retention (90 days) after they were received; one that comes again later
// than that is new. Both may be changed by UPDATE, and are a day at least.
//
// [Maintain], the relay and every inboxkafka consumer see to that, and whoever
// else is at work goes on: no step of it waits for a lock for more than 10 ms, and
// what could not be done is done the next time. Only who records one of the very
// ids that are being deleted waits for that, for one batch.
//
// # Isolation levels
//
// In READ COMMITTED, Postgres's default, a duplicate that another transaction
// is just recording makes Once wait until that one has ended, and then answer.
// In REPEATABLE READ and SERIALIZABLE it fails with SQLSTATE 40001 instead of
// answering false; repeat the whole transaction, as these levels ask for
// anyway.
package inbox
