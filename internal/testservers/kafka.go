package testservers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// askTimeout bounds one request to a broker.
	askTimeout = 10 * time.Second
	// topicTimeout bounds how long a new topic takes to be writable.
	topicTimeout = 30 * time.Second
	topicPoll    = 20 * time.Millisecond
)

// Kafka returns the addresses of the brokers.
func Kafka(t testing.TB) []string {
	t.Helper()
	server, err := kafkaServer.get(context.Background())
	if err != nil {
		Missing(t, kafkaServer.name, err)
	}
	return strings.Split(server.address, ",")
}

// Topic makes a topic that no other test uses, ready to be written and read, and
// returns its name. It is deleted when the test ends. Configuration is given with
// the making: a broker applies what is altered later only some time after it has
// said that it was.
func Topic(t testing.TB, partitions int, config ...kafka.ConfigEntry) string {
	t.Helper()
	name := uniqueName(t, "-")
	brokers := Kafka(t)
	if err := withClient(brokers, func(c *kafka.Client) error { return createTopic(t.Context(), c, name, partitions, config) }); err != nil {
		t.Fatalf("make topic %s: %v", name, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		// A busy broker's answer may come too late for kafka-go to know it yet.
		err := withClient(brokers, func(c *kafka.Client) error {
			return repeat(ctx, func() error { return deleteTopic(ctx, c, name) })
		})
		if err != nil {
			t.Errorf("delete topic %s: %v", name, err)
		}
	})
	return name
}

// withClient lends a client whose connections are closed afterwards.
func withClient(brokers []string, f func(*kafka.Client) error) error {
	transport := &kafka.Transport{MetadataTTL: topicPoll}
	defer transport.CloseIdleConnections()
	return f(&kafka.Client{Addr: kafka.TCP(brokers...), Timeout: askTimeout, Transport: transport})
}

func createTopic(ctx context.Context, c *kafka.Client, name string, partitions int, config []kafka.ConfigEntry) error {
	ctx, cancel := context.WithTimeoutCause(ctx, topicTimeout, fmt.Errorf("not writable after %s", topicTimeout))
	defer cancel()
	// kafka-go gives up at once where it does not know the controller yet.
	err := repeat(ctx, func() error {
		res, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: config}},
		})
		if err != nil {
			return err
		}
		if err := res.Errors[name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return repeat(ctx, func() error { return led(ctx, c, name, partitions) })
}

// repeat tries until it succeeds or ctx ends.
func repeat(ctx context.Context, try func() error) error {
	tick := time.NewTicker(topicPoll)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// led returns nil once every partition has a leader that knows it: only such a
// one answers for its offsets. Metadata come a moment too early.
func led(ctx context.Context, c *kafka.Client, name string, partitions int) error {
	asked := make([]kafka.OffsetRequest, partitions)
	for i := range asked {
		asked[i] = kafka.LastOffsetOf(i)
	}
	res, err := c.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{name: asked}})
	if err != nil {
		return err
	}
	answered := res.Topics[name]
	if len(answered) != partitions {
		return fmt.Errorf("%d of %d partitions answer", len(answered), partitions)
	}
	for _, partition := range answered {
		if partition.Error != nil {
			return partition.Error
		}
	}
	return nil
}

// deleteTopic tolerates a topic that the test itself has deleted.
func deleteTopic(ctx context.Context, c *kafka.Client, name string) error {
	res, err := c.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{name}})
	if err != nil {
		return err
	}
	if err := res.Errors[name]; err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
		return err
	}
	return nil
}
