// Package integration holds the tests of the whole: the programs as users run
// them, with servers as users have them. It has no code of its own; what tests
// of several packages share is in internal/testservers.
//
// Directory kafka resolves Apache Kafka for machines without a container engine
// (see internal/localkafka).
package integration
