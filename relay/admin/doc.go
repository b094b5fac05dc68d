// Package admin is what operators do about events that the relay has set aside,
// and about events that are to be published again. It knows the database alone:
// what has to be sent is asked for by a row in tandem.request, and the working
// relay carries that out through its lanes, so that nothing is ever published
// past the lease.
//
//	op, err := admin.New(conn, "")
//	if err != nil {
//		return err
//	}
//	request, err := op.Redrive(ctx, admin.Selector{Topics: []string{"orders"}}, "alice")
//	if err != nil {
//		return err
//	}
//	request, err = op.Wait(ctx, request.Number, nil)
//
// The login needs to be a member of the role tandem_relay. The commands
// "tandem parked" and "tandem replay" are this package and its flags.
//
// # Races with the relay
//
// The relay changes rows of tandem.deferred in tandem.save_checkpoint alone, and
// only those it is sending: parked ones that carry a redrive, and waiting ones
// that nothing parked is before. So an operator's statement
//
//   - takes parked rows without a redrive, and waiting ones behind such a row while
//     that row is locked: nobody can ask for the parked one to be sent meanwhile,
//     and until somebody does the relay leaves the key alone;
//   - never waits for a row (SKIP LOCKED): what a save holds at this moment is the
//     relay's, and who never waits is in no deadlock;
//   - discards only what the saved checkpoint has passed: the rest a crash of the
//     relay would bring back out of the log;
//   - is one statement, so that no lock waits for a client.
//
// A request is written by the statement that marks or takes the rows: both are
// there or neither.
package admin
