// Package integration holds the tests of the whole: the programs as users run
// them, with servers as users have them. It has no code of its own; what tests
// of several packages share is in internal/testservers.
//
// The pages, README.md among them, are run by package docs beside this one. DESIGN.md
// is held to the files that there are here, and api.txt to what is exported.
//
// Directory kafka resolves Apache Kafka for machines without a container engine
// (see internal/localkafka).
package integration
