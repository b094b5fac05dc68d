// Package faults tries to break Tandem, and judges.
//
// A run has a seed. The seed draws a plan: who writes what, how the processes are
// set up, and which faults come when. The run carries it out on a real PostgreSQL
// of its own, on brokers (the fake ones of kfake, or a real Kafka of its own), with
// two relays and two consumers, each an operating system's process of the real
// binary, and each with a network of its own to either server:
//
//	writers ─────┐
//	relays ──────┼── testlinks ── PostgreSQL
//	consumers ───┤
//	             └── testlinks ── Kafka
//
// The writers are the run's own goroutines: they keep the journal. What a writer
// has committed is a row of public.facts, written with its event, so that an
// outcome that is unknown at COMMIT is looked up afterwards. The key's row is
// locked before, which numbers the events of a key in the order in which their
// writers were serialised: that number is in the payload.
//
// When the faults have ended, everything must come to rest by itself. Then the
// oracle reads the topics and the database, and says what is wrong.
//
//	make faults                       the whole sweep
//	make faults SEEDS=1 FIRST=4711    one seed again
//
// The seed decides what is done, not when the machine gets to it: a run that has
// failed may pass the next time. Its journal is kept.
//
// The oracle is tested by systems that are wrong on purpose: mutants, which are
// edits of the sources, applied as the programs are built (build tag mutants).
//
//	make mutants                      each is caught by what it is known to break
//	make mutants ONLY='a held key'    one of them
package faults
