// Package bench measures Tandem on a user's own servers, for "tandem bench", and
// what others do on the same, for integration/bench. Every measurement ends with an
// audit: what was to arrive is counted record by record, so that a figure of speed
// never stands without what was lost, doubled or out of order.
//
// Events are numbered from 0. The number stands in the payload, which is JSON of a
// given size that every system can carry, as bytes, text or json; the key follows
// from the number. See Event, Audit.
//
// Where it is measured is a [Site]: a database and topics that are made for it and
// removed after it.
//
//	site, err := bench.Open(ctx, servers)
//	…
//	results, err := bench.Drain(ctx, site, bench.DrainOptions{Events: 10_000_000})
//	err = errors.Join(err, site.Close(ctx))
//
// What is compared takes turns within one run: slices of Write, rounds of Consume.
// Ratios are of neighbours, and of those the median. CPU and memory are those of
// this process, in which relay and consumers run as programs would run them.
//
// A Report is what --json prints and what is kept beside docs/benchmarks.md.
package bench
