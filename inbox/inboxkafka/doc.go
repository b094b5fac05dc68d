// Package inboxkafka runs a consumer of Kafka topics whose effects in Postgres
// happen once for each message, however often Kafka delivers it.
//
//	consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{
//		Brokers:  []string{"localhost:9092"},
//		Consumer: "billing",
//		Topics:   []string{"orders"},
//	}, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
//		_, err := tx.Exec(ctx, `INSERT INTO charges (order_id) VALUES ($1)`, string(m.Key))
//		return err
//	})
//	if err != nil {
//		return err
//	}
//	return consumer.Run(ctx) // blocks until ctx ends
//
// Each partition has a goroutine of its own, which takes messages in batches.
// One transaction records the ids of a batch and makes the effects of its new
// messages, in order; then it is committed; then the offset is. So a crash at
// any step repeats messages that the inbox knows already, and their handler is
// not called again.
//
// [NewBatchConsumer] is for handlers that take the new messages of a batch at
// once, [NewSQLConsumer] for database/sql and what is built on it.
//
// # What the caller still has to do
//
//   - Keep every effect in the transaction that the handler is given, and do
//     not end that transaction.
//   - Return an error for what failed. A handler that swallows the error of an
//     SQL statement leaves a transaction that cannot be committed.
//   - Return soon after the handler's context has ended.
//   - Give the pool a connection for each partition that may be assigned, and
//     one more.
//   - Let the pool's login be a member of the role tandem_consumer, and run the
//     migrations first.
//
// # When a message fails
//
// A handler that fails or panics fails for its message alone: the batch is rolled
// back, the messages before it are committed, and then those behind it, in the
// same transaction as a copy of the message in tandem.inbox_aside. From there it
// is tried again, after Config.RetryMin and then after growing pauses, and after
// Config.MaxAttempts it is parked for an operator (tandem inbox parked). The
// handler can say otherwise: inbox.RetryAfter, Park, Skip, Stop. Messages that
// cannot be handled as they came are parked too, see [Policies].
//
// What waits behind such a message says Config.Hold: later messages of its key
// and partition (they are copied too, and follow in order), the whole partition,
// or nothing. Where message after message fails, see Config.BreakAfter.
//
// Deadlocks, serialization failures, lock time-outs and a database that is away
// are never counted as the handler's failure, even when its error wraps them;
// the batch is repeated. Each change of state is logged once.
//
// # Rebalances
//
// When a partition is taken away, the batch in work is finished and its offset
// committed, or it is rolled back after Config.DrainTimeout; then the partition
// is given up. Its next owner first takes over a row of
// tandem.inbox_partition, which the transactions of the owner before hold a share
// lock of; so it begins when the last of them has ended, and a consumer that was
// frozen meanwhile finds, when it wakes, that it can commit nothing any more. It
// can hold up its successor for no longer than Config.IdleTimeout.
//
// # At most once
//
// With Config.Delivery AtMostOnce the offset is committed first and nothing is
// recorded: what fails is lost, and counted.
//
// # What is read
//
// Only what transactional producers have committed, and what others have
// written. A group that has no offset of a partition begins at its first
// message. When the message at the group's offset is gone, see
// Config.SkipDeleted.
package inboxkafka
