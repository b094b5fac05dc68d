// Package relaytest is for tests of what stands between the relay and a broker.
//
// [TestPublisher] tests that a [relay.Publisher] of your own keeps what that
// interface promises: order, acknowledgements, verdicts, contexts, many goroutines,
// bytes that arrive as they were given. You say how to make the publisher, how to
// make a topic, and how to read what a partition has:
//
//	func TestPublisher(t *testing.T) {
//		relaytest.TestPublisher(t, relaytest.Target{
//			New:         func(t testing.TB) relay.Publisher { … },
//			CreateTopic: func(t testing.TB, topic string, partitions int) { … },
//			Read:        func(t testing.TB, topic string, partition int) []relaytest.Record { … },
//			TooLarge:    2 << 20,
//		})
//	}
//
// The Kafka publisher of package relaykafka is tested by it, against a fake broker
// and against Kafka, and so is [Memory]: a publisher that keeps what it is given, and
// refuses, or loses answers, when it is told to. Package
// [github.com/tandem-outbox/tandem/outbox/outboxtest] runs a relay with it.
//
// The package is for tests alone. It needs nothing but the standard library.
package relaytest
