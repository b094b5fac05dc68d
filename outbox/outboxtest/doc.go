// Package outboxtest is for tests of services that write events: what a transaction
// has added, and what a relay makes of it.
//
// In a transaction that the test rolls back afterwards, or commits:
//
//	outboxtest.RequireAdded(t, tx, outbox.Event{Topic: "orders", Key: "o-1", Type: "order.placed", Payload: []byte(`{"cents": 100}`)})
//
// Around code that commits by itself:
//
//	log := outboxtest.Watch(t, databaseURL)
//	err := shop.PlaceOrder(ctx, "o-1", 100)
//	// …
//	log.RequireAdded(t, outbox.Event{Topic: "orders", Key: "o-1", Type: "order.placed"})
//
// # What is compared
//
// An event that is expected says what it has to be like: a field that is empty
// stands for anything. Type is that of the event, not the topic that it defaults to.
// A Payload that is JSON is compared as JSON. Headers have to be there with their
// values; others may be there too, since the context of a handler adds some. Times
// are compared to the microsecond. AtMostOnce and Tombstone are compared as they
// are. What else a test wants to know of events, [Added] gives it.
//
// # The relay
//
// [Relay] runs the real relay until the test ends, with a publisher that keeps the
// records in memory; [Drain] runs it until the log is empty:
//
//	records := outboxtest.Drain(t, databaseURL)
//	outboxtest.RequirePublished(t, records, outbox.Event{Topic: "orders", Key: "o-1"})
//
// Both see what is committed. See [relaytest.Memory] for brokers that refuse, have no
// such topic, or do not answer.
//
// # The database
//
// It has to be a PostgreSQL, of testcontainers or of your own. [Database] makes a
// database with Tandem's schema for one test, on whatever server; [Migrate] brings
// the schema into a database that is there.
//
// The test's login needs more rights than the service's: it reads the log, which a
// member of tandem_writer may not. The owner of the schema may, and a superuser.
//
// The package is for tests alone: a service that imports it would link the relay and
// the migrations.
package outboxtest
