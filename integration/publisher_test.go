package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/localkafka"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

func newKafkaPublisher(t testing.TB, brokers []string) *relaykafka.Publisher {
	t.Helper()
	p, err := relaykafka.New(relaykafka.Config{Brokers: brokers, Source: "/tandem/test", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// publisherEvents are n events of one key with 200 bytes each.
func publisherEvents(n int) []*relay.Event {
	at := time.Now()
	events := make([]*relay.Event, n)
	for i := range events {
		events[i] = &relay.Event{
			Position: int64(i), ID: [16]byte{13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}, Partition: -1, CreatedAt: at,
			Key: []byte("customer-1234"), Type: "order.placed", Payload: bytes.Repeat([]byte("x"), 200),
		}
	}
	return events
}

// readPartition reads n records of a partition.
func readPartition(t testing.TB, brokers []string, topic string, partition int32, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err(), "%d records of %d so far", len(records), n)
		records = append(records, fetches.Records()...)
	}
	return records
}

// topicWith makes a topic with one partition and a configuration of its own.
func topicWith(t testing.TB, name, value string) string {
	t.Helper()
	return testservers.Topic(t, 1, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
}

func requireVerdict(t testing.TB, want relay.Verdict, err error) {
	t.Helper()
	var refusal *relay.PublishError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, want, refusal.Verdict, "%v", err)
	require.NotEmpty(t, refusal.Hint)
}

func TestPublisherRecordsInKafka(t *testing.T) {
	t.Parallel()
	brokers, topic := testservers.Kafka(t), testservers.Topic(t, 3)
	p := newKafkaPublisher(t, brokers)
	require.NoError(t, p.Check(t.Context()))
	n, err := p.Partitions(t.Context(), topic)
	require.NoError(t, err)
	require.Equal(t, 3, n)

	at := time.Date(2026, 3, 1, 12, 30, 15, 123_456_000, time.UTC)
	events := []*relay.Event{
		{ID: [16]byte{0x01, 0x98}, CreatedAt: at, Key: []byte("k"), Payload: []byte("v"), Type: "order.placed",
			Headers: []byte(`{"content-type": "application/json", "note": "a \"quoted\" \u20ac"}`)},
		{ID: [16]byte{2}, CreatedAt: at.Add(-time.Second)}, // no key, a tombstone
		{ID: [16]byte{3}, CreatedAt: at, Key: []byte{}, Payload: []byte{}},
	}
	require.NoError(t, p.Publish(t.Context(), topic, 1, events))
	got := readPartition(t, brokers, topic, 1, 3)
	require.Equal(t, []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte("01980000-0000-0000-0000-000000000000")},
		{Key: "ce_source", Value: []byte("/tandem/test")},
		{Key: "ce_type", Value: []byte("order.placed")},
		{Key: "ce_time", Value: []byte("2026-03-01T12:30:15.123456Z")},
		{Key: "content-type", Value: []byte("application/json")},
		{Key: "note", Value: []byte(`a "quoted" €`)},
	}, got[0].Headers)
	require.Equal(t, topic, string(got[1].Headers[3].Value), "the type defaults to the topic")
	for i, r := range got {
		require.Equal(t, events[i].Key, r.Key)
		require.Equal(t, events[i].Payload, r.Value)
		require.Equal(t, events[i].CreatedAt.UnixMilli(), r.Timestamp.UnixMilli())
		require.EqualValues(t, i, r.Offset)
	}
}

func TestPublisherManyBatchesInOrder(t *testing.T) {
	t.Parallel()
	brokers, topic := testservers.Kafka(t), testservers.Topic(t, 1)
	p := newKafkaPublisher(t, brokers)
	events := publisherEvents(10_000)
	for from := 0; from < len(events); from += 1000 {
		require.NoError(t, p.Publish(t.Context(), topic, 0, events[from:from+1000]))
	}
	for i, r := range readPartition(t, brokers, topic, 0, len(events)) {
		require.Equal(t, fmt.Sprintf("00000000-0000-0000-0000-%012x", i), string(r.Headers[1].Value))
	}
}

func TestPublisherTopicIsMissing(t *testing.T) {
	t.Parallel()
	p := newKafkaPublisher(t, testservers.Kafka(t))
	requireVerdict(t, relay.RefusedTopic, p.Publish(t.Context(), "no-such-topic", 0, publisherEvents(1)))
	_, err := p.Partitions(t.Context(), "no-such-topic")
	requireVerdict(t, relay.RefusedTopic, err)
	require.ErrorIs(t, err, kafka.UnknownTopicOrPartition)
	_, err = p.Partitions(t.Context(), "not/a/name")
	requireVerdict(t, relay.RefusedTopic, err)
}

func TestPublisherBatchIsTooLarge(t *testing.T) {
	t.Parallel()
	brokers := testservers.Kafka(t)
	topic := topicWith(t, "max.message.bytes", "2000")
	p := newKafkaPublisher(t, brokers)
	err := p.Publish(t.Context(), topic, 0, publisherEvents(10))
	requireVerdict(t, relay.RefusedRecords, err)
	require.ErrorIs(t, err, kafka.MessageSizeTooLarge)
	require.NoError(t, p.Publish(t.Context(), topic, 0, publisherEvents(5)), "half of it fits")
}

func TestPublisherRecordIsInvalid(t *testing.T) {
	t.Parallel()
	brokers := testservers.Kafka(t)
	p := newKafkaPublisher(t, brokers)

	compacted := topicWith(t, "cleanup.policy", "compact")
	events := publisherEvents(3)
	events[1].Key = nil
	err := p.Publish(t.Context(), compacted, 0, events)
	requireVerdict(t, relay.RefusedRecords, err)
	require.ErrorIs(t, err, kafka.InvalidRecord)
	require.ErrorContains(t, err, "record 1 of the batch")

	young := topicWith(t, "message.timestamp.before.max.ms", "60000")
	events = publisherEvents(3)
	events[2].CreatedAt = time.Now().Add(-time.Hour)
	err = p.Publish(t.Context(), young, 0, events)
	requireVerdict(t, relay.RefusedRecords, err)
	require.ErrorIs(t, err, kafka.InvalidTimestamp)
}

// TestPublisherOutlivesTheBroker kills the only broker and starts it again.
func TestPublisherOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	server := testservers.OwnKafka(t)
	p := newKafkaPublisher(t, server.Brokers())
	makeTopic(t, server, "orders")
	events := publisherEvents(3)
	publishAgain(t, p, "orders", events[:1])

	server.Kill()
	err := p.Publish(t.Context(), "orders", 0, events[1:])
	require.Error(t, err)
	var refusal *relay.PublishError
	require.False(t, errors.As(err, &refusal) && refusal.Verdict != relay.Retry, "%v", err)

	require.NoError(t, server.Restart(t.Context()))
	publishAgain(t, p, "orders", events[1:])
	got := readPartition(t, server.Brokers(), "orders", 0, 3)
	require.Equal(t, "00000000-0000-0000-0000-000000000002", string(got[len(got)-1].Headers[1].Value))
}

func makeTopic(t testing.TB, server *localkafka.Server, topic string) {
	t.Helper()
	transport := new(kafka.Transport)
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(server.Brokers()...), Timeout: 20 * time.Second, Transport: transport}
	answer, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
	require.NoError(t, err)
	require.NoError(t, answer.Errors[topic])
}

// publishAgain publishes until it works, as the relay does.
func publishAgain(t testing.TB, p *relaykafka.Publisher, topic string, events []*relay.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.Publish(ctx, topic, 0, events)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.NoError(t, err)
		}
	}
}
