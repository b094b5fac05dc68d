// Package model holds the protocols of the relay and of the inbox as models in
// TLA+, small enough that TLC looks at every state they can be in: every order in
// which transactions commit, relays take over, requests arrive, consumers are frozen
// and wake. Tests with real servers meet some of these orders; a model meets all,
// within its bounds.
//
//   - Relay.tla: transactions and the log; snapshot cursor, windows and pages; lanes,
//     the wire and the broker; checkpoint, lease, terms and their fence; what is set
//     aside and how it comes back; claims; leaves that are given back; a crash of
//     the database.
//   - Inbox.tla: one partition with its offset, the ids, the effects, what is set
//     aside; owners that are replaced and wake again.
//
// The head of each says what it bounds and what it leaves out, and beside each action
// stands the function that it models. Who changes one of these functions changes the
// action.
//
//	make model
//
// runs TLC on both. Java is that of the machine, TLC comes through Maven
// (internal/maven, pom.xml); nothing is installed by hand and nothing is left in the
// tree. make test does the same.
//
// # What is checked
//
// Each world (a set of constants, in model_test.go) is explored to its end: none of
// the invariants is violated, and there is no deadlock. Rest, the step that changes
// nothing, is possible only where everything is published and saved, or applied and
// committed; so the protocol does not come to stand before that.
//
// A model that cannot fail proves nothing. So each guard of the protocol can be
// switched off by the constant Mutation: "no epoch check", "window cut by xid",
// "offset before effects". The table in model_test.go says for each which invariant
// breaks, TLC has to find it, and no invariant is without a mutation that breaks it.
//
// # Reading a counterexample
//
// TLC prints the shortest way to the violation, state after state, each headed by
// the action that led there:
//
//	Error: Invariant NothingLost is violated.
//	State 1: <Initial predicate>
//	…
//	State 9: <Save(1) line 363 …>
//	/\ checkpoint = [prev |-> {1, 2}, cur |-> {0}, …]
//	/\ topic = [a |-> <<>>, b |-> <<2>>]
//
// Read the headings first, as a story; then the variables that the invariant names,
// and where they changed. Compare the last state with the invariant's definition:
// here an event of key a that the checkpoint covers is neither in the topic nor set
// aside. Transactions, positions, epochs and offsets are small numbers; a snapshot
// is the set of transactions that had ended, and cur is {0} between windows.
//
// A violation without a mutation is either the protocol's or the model's. It is the
// protocol's if each step of the story can be done by the functions beside the
// actions: then it is a defect, and the story is its test.
package model
