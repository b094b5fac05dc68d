// Package relay reads the log that package outbox writes and hands its events to
// a broker. It promises that every committed event is published at least once,
// that nothing of a rolled-back transaction is, and that the events of a key
// first appear in the order in which their writers were serialised: through
// overlapping transactions, retries, refusals, crashes, restarts and takeovers by
// another relay. What is published twice has the same id both times. Events may be
// written for less: at most once, in no order at a time of their own, or not after
// one; see package [github.com/tandem-outbox/tandem/outbox].
//
//	database, err := pgx.ParseConfig(os.Getenv("DATABASE_URL"))
//	if err != nil {
//		return err
//	}
//	return relay.Run(ctx, relay.Config{Database: database, Publisher: publisher})
//
// Run blocks until ctx ends, then publishes what it has read, saves, and lets a
// standby take over at once. Any number may run on one log; one works. The
// program "tandem relay" is this and its configuration. A [Publisher] is what
// knows the broker: package [github.com/tandem-outbox/tandem/relay/relaykafka]
// has the one for Kafka.
//
// # What the operator still does
//
//   - Run the migrations first, and let the relay's login be a member of the role
//     tandem_relay.
//   - Give it the primary, by connections that keep their session: not a standby,
//     not a pooler that gives each transaction another session. Both are refused
//     at the start, as is a schema that is not as the migrations made it.
//   - Create the topics.
//   - Decide what becomes of parked events: those that the broker will never take
//     as they are. They wait in the table deferred with their reason, and what
//     comes after them in their key waits behind them; package
//     [github.com/tandem-outbox/tandem/relay/admin] redrives and discards. What
//     waits for a topic or partition that cannot be written to goes on by itself.
//   - Call [Rebase] (tandem rebase) after a restore, a copy or a failover: a
//     [SetupError] says when.
//
// # Where what is written down
//
//	reader.go    how the log is read: windows, pages, the durability gate
//	snapshot.go  anchors, which spare it from reading the log from its beginning
//	tracker.go   what is done without a gap, and so may be saved
//	lease.go     who relays: states, trust, fence, what is left to chance
//	term.go      one term of the lease: who works in it, and its three ends
//	topic.go     partitions and their lanes; what happens when their number changes
//	watch.go     how many partitions a topic has, and what waits for them
//	lane.go      one partition's queue: retries in place, bisection
//	admit.go     the last look before a request: what is held, what has expired
//	aside.go     what cannot be sent now, and how it is set aside
//	refusal.go   when a refused event is parked, and when its topic is at fault
//	patience.go  when events stop waiting in memory
//	flow.go      how they come back
//	found.go     what a term finds set aside by an earlier one
//	schedule.go  events that have a time
//	claim.go     events to be sent at most once
//	request.go   what operators ask for
//	replay.go    publishing events again
//	keeper.go    saves and renewals
//	connect.go   sessions, and what is looked at before the first event
//	examine.go   the same for who only wants to know
//	standbys.go  waiting for synchronous standbys
//	reclaim.go   giving the log's space back
//	rebase.go    a new start on another server
//	backlog.go   how much is not done, and limits to warn of
//	heartbeat.go each relay's row, for people
//	sql.go       each statement with its locks, its index and the plan it needs
package relay
