// Package stories holds two tests of the whole promise, on real servers: an order
// that must not be charged twice, and a mail for a lost password that must not be
// lost. A service writes to its database and outbox, a relay publishes, a consumer
// in a process of its own has the effects. It is killed and frozen, and gets
// company, at moments that a seed chooses; in the end the books are checked.
//
// Proxies stand between the consumer and both servers (internal/pgproxy,
// internal/kafkaproxy), so a moment is a request of a certain step of the protocol:
// before the server has it, while the server is at it, and when it is done and the
// consumer does not know. The first fault of a seed is one of these steps and
// moments, in turn; the others are met at any message on either wire.
//
//	make stories SEEDS=200 FIRST=1
//
// runs that many seeds, shows how far it is, prints which steps were met how often,
// and fails when one never was. A seed that fails says how to repeat it. make test
// runs the first dozen.
//
// A consumer that was killed would keep its partitions until its session times
// out, which takes six seconds. Mostly the test tells the broker at once that it
// is gone, and sometimes it waits.
package stories
