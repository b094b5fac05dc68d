package relaykafka

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/relay"
)

func TestDescribe(t *testing.T) {
	cluster := newCluster(t, kfake.SeedTopics(3, "orders"))
	topic, err := newPublisher(t, cluster.ListenAddrs()).Describe(t.Context(), "orders")
	require.NoError(t, err)
	require.Equal(t, 3, topic.Partitions)
	require.Empty(t, topic.Leaderless)
	require.True(t, topic.MayWrite)
	require.Equal(t, 1_048_588, topic.MaxMessageBytes, "Kafka's default")
}

func TestDescribeAMissingTopic(t *testing.T) {
	_, err := newPublisher(t, newCluster(t).ListenAddrs()).Describe(t.Context(), "nothing")
	var refused *relay.PublishError
	require.True(t, errors.As(err, &refused))
	require.Equal(t, relay.RefusedTopic, refused.Verdict)
	require.NotEmpty(t, refused.Hint)
}

// What brokers say who have rules for who may do what.
func TestDescribeWhatIsNotAllowed(t *testing.T) {
	cluster := newCluster(t, kfake.SeedTopics(2, "orders"))
	for operations, may := range map[int32]bool{-1 << 31: true, 1<<3 | 1<<8: false, 1<<3 | 1<<4 | 1<<8: true} {
		cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
			request := r.(*kmsg.MetadataRequest)
			if !request.IncludeTopicAuthorizedOperations {
				return nil, nil, false
			}
			return metadataOf(request, operations), nil, true
		})
		topic, err := newPublisher(t, cluster.ListenAddrs()).Describe(t.Context(), "orders")
		require.NoError(t, err)
		require.Equal(t, may, topic.MayWrite, operations)
		require.Equal(t, []int{1}, topic.Leaderless)
	}
}

func metadataOf(request *kmsg.MetadataRequest, operations int32) kmsg.Response {
	response := request.ResponseKind().(*kmsg.MetadataResponse)
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic, topic.AuthorizedOperations = kmsg.StringPtr("orders"), operations
	for n := range int32(2) {
		partition := kmsg.NewMetadataResponseTopicPartition()
		partition.Partition, partition.Leader = n, -n
		topic.Partitions = append(topic.Partitions, partition)
	}
	response.Topics = append(response.Topics, topic)
	return response
}
