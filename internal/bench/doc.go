// Package bench measures Tandem on a user's own servers, for "tandem bench", and
// what others do on the same, for integration/bench. Every measurement ends with an
// audit: what was to arrive is counted record by record, so that a figure of speed
// never stands without what was lost, doubled or out of order.
//
// Events are numbered from 0. The number stands in the payload, which is JSON of a
// given size that every system can carry, as bytes, text or json; the key follows
// from the number. See Event, Audit.
//
// A Report is what --json prints and what is kept beside docs/benchmarks.md.
package bench
