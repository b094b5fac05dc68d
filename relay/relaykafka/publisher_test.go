package relaykafka

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/relay"
)

func TestRecordsArriveAsTheyWere(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	events := someEvents()
	require.NoError(t, p.Publish(t.Context(), "orders", 2, events))
	want := wanted(t, "orders", testSource, events)
	require.Equal(t, want, fetch(t, cluster.ListenAddrs(), "orders", 2, len(events)))
	require.Equal(t, want, fetchKafkaGo(t, cluster.ListenAddrs(), "orders", 2, len(events)))
}

func TestNothingToPublish(t *testing.T) {
	p := newPublisher(t, []string{"localhost:1"})
	require.NoError(t, p.Publish(t.Context(), "orders", 0, nil))
}

func TestBrokersAreAskedForAllReplicas(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs(), func(c *Config) { c.ProduceTimeout = 8 * time.Second })
	asked := make(chan kmsg.ProduceRequest, 1)
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.DropControl()
		asked <- *request.(*kmsg.ProduceRequest)
		return nil, nil, false
	})
	require.NoError(t, p.Publish(t.Context(), "orders", 1, numbered(0, 1)))
	request := <-asked
	require.EqualValues(t, -1, request.Acks)
	require.EqualValues(t, 4000, request.TimeoutMillis)
	require.Nil(t, request.TransactionID)
	require.Len(t, request.Topics, 1)
	require.Len(t, request.Topics[0].Partitions, 1)
}

func TestOrderOverManyCalls(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	var all []*relay.Event
	for i := range 20 {
		events := numbered(i*7, 7)
		all = append(all, events...)
		require.NoError(t, p.Publish(t.Context(), "orders", 0, events))
	}
	require.Equal(t, wanted(t, "orders", testSource, all), fetch(t, cluster.ListenAddrs(), "orders", 0, len(all)))
}

func TestLanesPublishAtATime(t *testing.T) {
	cluster := newCluster(t, kfake.NumBrokers(3))
	p := newPublisher(t, cluster.ListenAddrs())
	failures := make(chan error, 3)
	for lane := range 3 {
		go func() {
			for i := range 50 {
				if err := p.Publish(t.Context(), "orders", lane, numbered(i, 1)); err != nil {
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	for range 3 {
		require.NoError(t, <-failures)
	}
	for lane := range 3 {
		require.Equal(t, wanted(t, "orders", testSource, numbered(0, 50)), fetch(t, cluster.ListenAddrs(), "orders", int32(lane), 50))
	}
}

func TestPartitions(t *testing.T) {
	cluster := newCluster(t, kfake.SeedTopics(7, "payments"))
	asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "payments", Observe: true, Count: -1})
	p := newPublisher(t, cluster.ListenAddrs())
	for range 3 {
		n, err := p.Partitions(t.Context(), "payments")
		require.NoError(t, err)
		require.Equal(t, 7, n)
	}
	require.Equal(t, 1, asked.Hits(), "the answer comes from memory")
}

func TestPartitionsWithoutMemory(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs(), func(c *Config) { c.MetadataTTL = 1 })
	n, err := p.Partitions(t.Context(), "orders")
	require.NoError(t, err)
	require.Equal(t, 3, n)

	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "orders", Err: kerr.LeaderNotAvailable})
	n, err = p.Partitions(t.Context(), "orders")
	require.NoError(t, err, "a count that cannot be refreshed goes on being used")
	require.Equal(t, 3, n)

	require.NoError(t, cluster.DeleteTopic("orders"))
	_, err = p.Partitions(t.Context(), "orders")
	require.Equal(t, relay.RefusedTopic, verdictOf(t, err), "but not that of a topic that is gone")
}

func TestMissingTopicIsRefusedAndNotMade(t *testing.T) {
	cluster := newCluster(t, kfake.AllowAutoTopicCreation())
	p := newPublisher(t, cluster.ListenAddrs())
	check := func(err error) {
		t.Helper()
		var refusal *relay.PublishError
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, relay.RefusedTopic, refusal.Verdict)
		require.ErrorIs(t, err, kafka.UnknownTopicOrPartition)
		require.ErrorContains(t, err, `topic "payments"`)
		require.Contains(t, refusal.Hint, "kafka-topics.sh --bootstrap-server "+cluster.ListenAddrs()[0]+" --create --topic payments")
	}
	_, err := p.Partitions(t.Context(), "payments")
	check(err)
	check(p.Publish(t.Context(), "payments", 0, numbered(0, 1)))
	require.Nil(t, cluster.TopicInfo("payments"))

	require.NoError(t, cluster.CreateTopic("payments", 2, nil))
	require.NoError(t, p.Publish(t.Context(), "payments", 1, numbered(0, 1)), "the new topic is noticed at once")
}

func TestImpossibleTopicNamesAreRefused(t *testing.T) {
	p := newPublisher(t, newCluster(t).ListenAddrs())
	for _, topic := range []string{"", string(bytes.Repeat([]byte("x"), 250))} {
		_, err := p.Partitions(t.Context(), topic)
		require.Equal(t, relay.RefusedTopic, verdictOf(t, err))
		require.ErrorIs(t, err, kafka.InvalidTopic)
	}
}

func TestPartitionThatDoesNotExist(t *testing.T) {
	p := newPublisher(t, newCluster(t).ListenAddrs())
	events := numbered(0, 2)
	require.Equal(t, relay.RefusedTopic, verdictOf(t, p.Publish(t.Context(), "orders", 3, events)), "the topic has shrunk")
	for _, e := range events {
		e.Partition = 3
	}
	err := p.Publish(t.Context(), "orders", 3, events)
	require.Equal(t, relay.RefusedRecords, verdictOf(t, err), "the events chose it")
	require.ErrorContains(t, err, "has no partition 3, it has 3")
}

func TestVerdictOfEachAnswer(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	for _, c := range []struct {
		answer *kerr.Error
		want   relay.Verdict
	}{
		{kerr.MessageTooLarge, relay.RefusedRecords},
		{kerr.RecordListTooLarge, relay.RefusedRecords},
		{kerr.InvalidRecord, relay.RefusedRecords},
		{kerr.InvalidTimestamp, relay.RefusedRecords},
		{kerr.UnknownTopicOrPartition, relay.RefusedTopic},
		{kerr.TopicAuthorizationFailed, relay.RefusedTopic},
		{kerr.NotLeaderForPartition, relay.Retry},
		{kerr.NotEnoughReplicas, relay.Retry},
		{kerr.KafkaStorageError, relay.Retry},
		{kerr.UnknownServerError, relay.Retry},
		{kerr.ShareSessionLimitReached, relay.Retry}, // unknown to kafka-go
	} {
		t.Run(c.answer.Message, func(t *testing.T) {
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders", Err: c.answer})
			err := p.Publish(t.Context(), "orders", 0, numbered(0, 3))
			require.Equal(t, c.want, verdictOf(t, err))
			require.ErrorIs(t, err, kafka.Error(c.answer.Code))
			require.ErrorContains(t, err, `3 events to topic "orders" partition 0`)
			require.NoError(t, p.Publish(t.Context(), "orders", 0, numbered(0, 1)), "afterwards all is well")
		})
	}
}

func TestEventTooLargeForTheBroker(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	large := numbered(0, 1)
	large[0].Payload = bytes.Repeat([]byte("x"), 6<<20)
	require.NoError(t, cluster.CreateTopic("small", 1, map[string]string{"max.message.bytes": "1000000"}))
	err := p.Publish(t.Context(), "small", 0, large)
	require.Equal(t, relay.RefusedRecords, verdictOf(t, err))
	var refusal *relay.PublishError
	require.ErrorAs(t, err, &refusal)
	limit := regexp.MustCompile(`max\.message\.bytes=(\d+)$`).FindStringSubmatch(refusal.Hint)
	require.NotNil(t, limit, refusal.Hint)
	require.NoError(t, cluster.CreateTopic("larger", 1, map[string]string{"max.message.bytes": limit[1]}))
	require.NoError(t, p.Publish(t.Context(), "larger", 0, large), "what the hint says is enough")
}

func TestRecordErrorsAreNamed(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		produce := request.(*kmsg.ProduceRequest)
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic = produce.Topics[0].Topic
		partition := kmsg.NewProduceResponseTopicPartition()
		partition.ErrorCode = kerr.InvalidRecord.Code
		partition.ErrorMessage = kmsg.StringPtr("one or more records have been rejected")
		record := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		record.RelativeOffset, record.ErrorMessage = 1, kmsg.StringPtr("no key in a compacted topic")
		partition.ErrorRecords = append(partition.ErrorRecords, record)
		topic.Partitions = append(topic.Partitions, partition)
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	err := p.Publish(t.Context(), "orders", 0, numbered(0, 2))
	require.Equal(t, relay.RefusedRecords, verdictOf(t, err))
	require.ErrorContains(t, err, "record 1 of the batch, counted from 0: no key in a compacted topic")
}

func TestAnswerAboutNothingIsNoAcknowledgement(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		return request.(*kmsg.ProduceRequest).ResponseKind(), nil, true
	})
	require.Equal(t, relay.Retry, verdictOf(t, p.Publish(t.Context(), "orders", 0, numbered(0, 1))))
}

func TestEventWithBrokenHeadersIsRefused(t *testing.T) {
	p := newPublisher(t, newCluster(t).ListenAddrs())
	events := numbered(0, 3)
	events[1].Headers = []byte(`{"a": 1}`)
	err := p.Publish(t.Context(), "orders", 0, events)
	require.Equal(t, relay.RefusedRecords, verdictOf(t, err))
	require.ErrorContains(t, err, "at position 1")
}

func TestClosedPublisher(t *testing.T) {
	p := newPublisher(t, newCluster(t).ListenAddrs())
	require.NoError(t, p.Close())
	_, err := p.Partitions(t.Context(), "orders")
	require.ErrorIs(t, err, errClosed)
	require.ErrorIs(t, p.Publish(t.Context(), "orders", 0, numbered(0, 1)), errClosed)
	require.ErrorIs(t, p.Check(t.Context()), errClosed)
	require.NoError(t, p.Close(), "closing twice is fine")
}

// TestVerdictOfEveryCode holds the whole table still: what is not refused here
// is retried, codes of a later Kafka included.
func TestVerdictOfEveryCode(t *testing.T) {
	refused := map[kafka.Error]relay.Verdict{
		kafka.MessageSizeTooLarge: relay.RefusedRecords, kafka.RecordListTooLarge: relay.RefusedRecords,
		kafka.InvalidRecord: relay.RefusedRecords, kafka.InvalidTimestamp: relay.RefusedRecords, kafka.PolicyViolation: relay.RefusedRecords,
		kafka.UnknownTopicOrPartition: relay.RefusedTopic, kafka.InvalidTopic: relay.RefusedTopic,
		kafka.TopicAuthorizationFailed: relay.RefusedTopic, kafka.ClusterAuthorizationFailed: relay.RefusedTopic,
		kafka.UnsupportedForMessageFormat: relay.RefusedTopic,
	}
	p := newPublisher(t, []string{"localhost:1"})
	for code := int16(-1); code <= 200; code++ {
		if code == 0 {
			continue
		}
		err := p.judge(fmt.Errorf("sending: %w", brokerError(code, "words")), "orders")
		require.Equal(t, refused[kafka.Error(code)], verdictOf(t, err), "%v", err)
		var refusal *relay.PublishError
		if errors.As(err, &refusal) {
			require.NotEmpty(t, refusal.Hint, "%v", err)
			require.NotRegexp(t, "<(topic|brokers)>", refusal.Hint)
		}
		if kerr.IsRetriable(kerr.ErrorForCode(code)) && kafka.Error(code) != kafka.UnknownTopicOrPartition {
			require.Equal(t, relay.Retry, verdictOf(t, err), "franz-go retries %v", err)
		}
	}
}
