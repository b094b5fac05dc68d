// Package apply is the inbox for a batch of messages: one transaction records
// the ids and makes the effects of those that are new.
//
//	BEGIN READ COMMITTED, time limits, look at the
//	fence, lock the rows that messages were read from,
//	insert the ids, learn which are new                  one round trip, pipelined
//	the handler, for each new message in order, or for all
//	store what is set aside, delete what was done        one round trip, where there is any
//	COMMIT                                               one round trip
//
// Whatever goes wrong, the batch as a whole is rolled back: no id of it is
// recorded and no effect remains. There are no savepoints: a hundred of them in a
// transaction slow every snapshot of the server. The caller is told why:
//
//   - [*Failure]: a message or its handler is at fault. The caller gives the
//     message a [Verdict], or applies fewer messages to find out which it was.
//   - [ErrFenced]: the partition has another owner.
//   - [ErrEnded]: the handler ended the transaction, which must not be repeated.
//   - any other error: the database's, and no failure of the handler, even when
//     it came through the handler. [Conflict] tells the everyday ones, between
//     overlapping batches of two consumers, from a database in trouble.
//
// A connection lost at COMMIT leaves the outcome unknown. To repeat the batch
// is right then too: what was committed comes back as duplicates.
//
// The other half of the package are the statements about tandem.inbox_partition
// and tandem.inbox_aside, for the runner that decides.
package apply
