// Package neighbours tests what others make of our records, and we of theirs, on a real
// Kafka: CloudEvents' own Go SDK (with its binding for Kafka), the console programs of
// Apache Kafka, kcat.
//
// It is a module of its own, so that nobody who uses Tandem links an SDK or a further
// Kafka client. The tests are all there is.
package neighbours
