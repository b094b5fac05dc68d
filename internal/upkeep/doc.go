// Package upkeep looks after the inbox's storage: the relay, every consumer,
// [github.com/tandem-outbox/tandem/inbox.Maintain] and the command all do the
// same, and any of them is enough.
//
// It is three functions of the database, each in a transaction of its own:
//
//	tandem.maintain_inbox()   makes the leaves of the coming year, raises the floor, empties old leaves
//	tandem.drop_inbox_leaf()  drops a leaf that is empty, if nobody is in the way
//	tandem.expire_inbox()     deletes a batch of what has no leaves: foreign ids, late ids, notes of what was dropped, answers over HTTP
//
// Each gives way to others after 10 ms at most, and leaves what it could not do
// for the next time. Any number of callers may do it at once.
package upkeep
