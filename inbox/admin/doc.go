// Package admin is what operators do about messages that consumers have set
// aside, and how they see what consumers do. It knows the database alone, of
// consumers in any number of processes: what has to be handled again is marked in
// tandem.inbox_aside, and the consumer that owns the message's partition handles
// it, in a transaction with the message's id as ever.
//
//	op, err := admin.New(conn, "")
//	if err != nil {
//		return err
//	}
//	redrive, err := op.Redrive(ctx, admin.Selector{Consumers: []string{"billing"}}, "alice")
//	if err != nil {
//		return err
//	}
//	redrive, err = op.Wait(ctx, redrive, nil)
//
// The login needs to be a member of the role tandem_consumer. The commands
// "tandem inbox" are this package and its flags.
//
// # Lanes
//
// Messages that have to stay in order among themselves are a lane: those of a
// key, or a single one where a consumer lets its successors pass, or where it
// holds the partition (then the rest waits in Kafka). The first of a lane is tried
// again by itself (retrying), or waits for an operator (parked); those behind it
// are held, and follow when it has been handled or discarded.
//
// # Races with the consumer
//
// A partition has one owner, which keeps in memory what is held. It reads that
// anew when tandem.inbox_partition.changed moves, which it looks at with every
// batch and at least once a second. So an operator's statement
//
//   - raises changed of every partition of which it changes a row, in the same
//     transaction;
//   - locks the row of inbox_partition first, with a lock that batches do not
//     mind, then the messages, of which it never waits for one (SKIP LOCKED): what
//     a batch holds at this moment is the consumer's, and there is no deadlock. A
//     batch locks the messages that it handles again before it handles them;
//   - takes held messages only while the first of their lane is locked, so that
//     nobody handles them meanwhile;
//   - leaves alone what carries a redrive;
//   - is one statement, so that no lock waits for a client.
//
// # A discard and repetitions
//
// To discard a message records its id, as if it had been handled: a repetition of
// it, be it one of the relay's that is held behind it, or because the consumer
// crashed before it had committed the offset, is a duplicate. A message without an
// id that could be kept is decided about each time that it comes.
package admin
