package relaykafka_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
	"github.com/tandem-outbox/tandem/relay/relaytest"
)

func TestConformance(t *testing.T) {
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		relaytest.TestPublisher(t, target(cluster.ListenAddrs()))
	})
	t.Run("Kafka", func(t *testing.T) {
		t.Parallel()
		relaytest.TestPublisher(t, target(testservers.Kafka(t)))
	})
}

func target(brokers []string) relaytest.Target {
	return relaytest.Target{
		New: func(t testing.TB) relay.Publisher {
			p, err := relaykafka.New(relaykafka.Config{Brokers: brokers, Source: "/tandem/shop", Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, p.Close()) })
			return p
		},
		CreateTopic: func(t testing.TB, topic string, partitions int) {
			admin := kadm.NewClient(connect(t, brokers))
			t.Cleanup(func() {
				defer admin.Close()
				_, err := admin.DeleteTopics(context.Background(), topic)
				require.NoError(t, err)
			})
			limit := "1000000"
			_, err := admin.CreateTopic(t.Context(), int32(partitions), 1, map[string]*string{"max.message.bytes": &limit}, topic)
			require.NoError(t, err)
			require.Eventually(t, func() bool { // each partition has a leader
				ends, err := admin.ListEndOffsets(t.Context(), topic)
				return err == nil && ends.Error() == nil && len(ends[topic]) == partitions
			}, time.Minute, 20*time.Millisecond)
		},
		Read: func(t testing.TB, topic string, partition int) []relaytest.Record {
			return read(t, brokers, topic, int32(partition))
		},
		Source:   "/tandem/shop",
		TooLarge: 1_500_000,
	}
}

func connect(t testing.TB, brokers []string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(brokers...))...)
	require.NoError(t, err)
	return client
}

// read returns what a partition has now.
func read(t testing.TB, brokers []string, topic string, partition int32) (records []relaytest.Record) {
	client := connect(t, brokers, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	end, known := ends.Lookup(topic, partition)
	require.True(t, known)
	require.NoError(t, end.Err)
	for int64(len(records)) < end.Offset { // no transactions, nothing compacted: each offset is a record
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { records = append(records, asRecord(t, r)) })
	}
	return records
}

func asRecord(t testing.TB, r *kgo.Record) relaytest.Record {
	record := relaytest.Record{
		Topic: r.Topic, Partition: int(r.Partition), Offset: r.Offset, Key: r.Key, Payload: r.Value, Headers: map[string]string{},
	}
	for _, h := range r.Headers {
		switch value := string(h.Value); h.Key {
		case "ce_specversion":
			require.Equal(t, "1.0", value)
		case "ce_id":
			record.ID = value
		case "ce_type":
			record.Type = value
		case "ce_source":
			record.Source = value
		case "ce_time":
			at, err := time.Parse(time.RFC3339Nano, value)
			require.NoError(t, err)
			record.Time = at
		default:
			require.False(t, strings.HasPrefix(h.Key, "ce_"), h.Key)
			record.Headers[h.Key] = value
		}
	}
	return record
}
