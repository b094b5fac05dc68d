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
// # When something fails
//
// A handler that fails or panics, and a message without an id, block their own
// partition and no other: the batch is rolled back as a whole and repeated with
// growing pauses until it goes through. Each change of state is logged once,
// with the message's id, topic, partition and offset. Nothing is skipped.
// Deadlocks, serialization failures, lock time-outs and a database that is away
// are never counted as the handler's failure, even when its error wraps them;
// the batch is repeated.
//
// # Rebalances
//
// When a partition is taken away, the batch in work is finished and its offset
// committed, or it is rolled back after Config.DrainTimeout; then the partition
// is given up. A consumer that was frozen meanwhile may wake when its partitions
// have a new owner: the inbox keeps its batch from doubling anything, and the
// new owner is delayed by it for no longer than Config.IdleTimeout.
//
// # What is read
//
// Only what transactional producers have committed, and what others have
// written. A group that has no offset of a partition begins at its first
// message. When the message at the group's offset is gone, see
// Config.SkipDeleted.
package inboxkafka
