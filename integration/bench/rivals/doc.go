// Package rivals has the systems that Tandem is measured beside, each written
// fairly: as its documentation or its users have it, batched and indexed, and tuned
// for what is measured. They send the same events, with the same headers where they
// can have them, to topics of [Partitions] partitions, acks=all.
//
// Every system publishes in a process of its own, so that its CPU time and memory
// are counted apart: Tandem's relay, a Java, or this program once more (see [Child]).
package rivals
