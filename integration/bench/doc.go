// Bench measures Tandem beside what people use instead, on the same servers with the
// same events, in turn and repeatedly, and makes docs/benchmarks.md and its plots out
// of what it has measured:
//
//	make rivals
//
// Every measurement has a database and a topic of its own, every system a process of
// its own (package rivals), and every one ends with an audit: the topic is read back,
// and what was lost, doubled or out of order stands beside the speed. Each result is
// written to results.json as soon as it is there; a run that was cut short is taken up
// with -merge.
//
// It is a module of its own, so that nothing of the rivals is in anybody's go.mod.
package main
