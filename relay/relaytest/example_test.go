package relaytest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaytest"
)

// A publisher of your own is tested like this one.
func ExampleTestPublisher() {
	// in a _test.go file
	TestPublisher := func(t *testing.T) {
		var broker *relaytest.Memory // yours
		relaytest.TestPublisher(t, relaytest.Target{
			New: func(testing.TB) relay.Publisher {
				broker = relaytest.NewMemory()
				broker.SetPartitions("", 0) // no topic is there but those that are made
				return broker
			},
			CreateTopic: func(_ testing.TB, topic string, partitions int) {
				broker.SetPartitions(topic, partitions)
			},
			Read: func(_ testing.TB, topic string, partition int) (records []relaytest.Record) {
				for _, r := range broker.Records() {
					if r.Topic == topic && r.Partition == partition {
						records = append(records, r)
					}
				}
				return records
			},
		})
	}
	_ = TestPublisher
}

func ExampleMemory() {
	broker := relaytest.NewMemory()
	event := &relay.Event{Topic: "orders", Key: []byte("o-1"), Payload: []byte("placed")}
	broker.LoseAnswers(1)
	fmt.Println("first:", broker.Publish(context.Background(), "orders", 0, []*relay.Event{event}) != nil)
	fmt.Println("again:", broker.Publish(context.Background(), "orders", 0, []*relay.Event{event}))
	for _, r := range broker.Records() {
		fmt.Printf("%s/%d offset %d: %s\n", r.Topic, r.Partition, r.Offset, r.Payload)
	}
	// Output:
	// first: true
	// again: <nil>
	// orders/0 offset 0: placed
	// orders/0 offset 1: placed
}
