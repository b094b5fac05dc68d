// Package inboxtest is for tests of services that consume messages. It hands them to
// a handler as the runner for Kafka does, by the same code and in a real transaction
// with the real inbox; only Kafka is left out.
//
//	consumer := inboxtest.NewConsumer(pool, "billing", billing.Charge)
//	m := inboxtest.FromEvent(outbox.Event{Topic: "orders", Key: "o-1", Type: "order.placed", Payload: body})
//	consumer.Deliver(t, m)                // handled
//	consumer.Deliver(t, m)                // duplicate
//	consumer.Deliver(t, inboxtest.Late(m)) // parked (unprovable): …
//	consumer.DeliverBatch(t, second, first)
//
// [RequireExactlyOnce] is the test that a handler is written for: it breaks the
// connection at each step of the transaction, delivers again, and compares the
// effects with those of a delivery that nothing disturbed:
//
//	inboxtest.RequireExactlyOnce(t, inboxtest.Crash{
//		Pool: pool, Handler: billing.Charge, Messages: []inbox.Message{m},
//		Reset:   func() { … },        // TRUNCATE charges
//		Effects: func() any { … },    // SELECT count(*), sum(cents) FROM charges
//	})
//
// What is tested is a handler. That offsets are committed after effects, that
// partitions change hands, that what failed is tried again and what was parked is kept
// is the runner's, and has its own tests.
//
// The database needs Tandem's schema; package
// [github.com/tandem-outbox/tandem/outbox/outboxtest] has Database and Migrate for
// that. The package is for tests alone.
package inboxtest
