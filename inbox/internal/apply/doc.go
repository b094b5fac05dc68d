// Package apply is the inbox for a batch of messages: one transaction records
// the ids and makes the effects of those that are new.
//
//	BEGIN READ COMMITTED with its time limits     one round trip
//	insert the ids, learn which are new           one round trip, pipelined
//	the handler, for each new message in order
//	COMMIT                                        one round trip
//
// Whatever goes wrong, the batch as a whole is rolled back: no id of it is
// recorded and no effect remains. The caller repeats the batch. It is told why:
//
//   - [*Failure]: a message or its handler is at fault.
//   - [ErrEnded]: the handler ended the transaction, which must not be repeated.
//   - any other error: the database's, and no failure of the handler, even when
//     it came through the handler. [Conflict] tells the everyday ones, between
//     overlapping batches of two consumers, from a database in trouble.
//
// A connection lost at COMMIT leaves the outcome unknown. To repeat the batch
// is right then too: what was committed comes back as duplicates.
package apply
