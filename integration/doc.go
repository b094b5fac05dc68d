// Package integration holds the tests of the whole: the programs as users run
// them, with servers as users have them. It has no code of its own; what tests
// of several packages share is in internal/testservers.
//
// The code of README.md is here too, in readme_snippets_test.go; readme_test.go
// runs it, with the README's SQL, shell and YAML, and compares the two. It also
// holds DESIGN.md to the files that there are.
//
// Directory kafka resolves Apache Kafka for machines without a container engine
// (see internal/localkafka).
package integration
