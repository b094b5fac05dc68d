package relaykafka_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// The relay does this for every batch.
func Example() {
	brokers := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	defer brokers.Close()

	publisher, err := relaykafka.New(relaykafka.Config{Brokers: brokers.ListenAddrs(), Source: "/tandem/shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer publisher.Close()
	ctx := context.Background()
	if err := publisher.Check(ctx); err != nil {
		fmt.Println(err)
		return
	}
	partitions, err := publisher.Partitions(ctx, "orders")
	fmt.Println(partitions, err)

	event := &relay.Event{CreatedAt: time.Now(), Key: []byte("order-1"), Payload: []byte(`{"total": 42}`), Partition: -1}
	fmt.Println(publisher.Publish(ctx, "orders", 0, []*relay.Event{event}))

	var refusal *relay.PublishError
	if err := publisher.Publish(ctx, "payments", 0, []*relay.Event{event}); errors.As(err, &refusal) {
		fmt.Println(refusal.Verdict == relay.RefusedTopic)
	}
	// Output:
	// 3 <nil>
	// <nil>
	// true
}
