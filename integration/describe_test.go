package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// What tandem doctor asks about a topic, of a real broker.
func TestDescribeATopic(t *testing.T) {
	t.Parallel()
	brokers := testservers.Kafka(t)
	p := newKafkaPublisher(t, brokers)
	told, err := p.Describe(t.Context(), testservers.Topic(t, 3))
	require.NoError(t, err)
	require.Equal(t, relaykafka.Topic{Partitions: 3, MayWrite: true, MaxMessageBytes: 1_048_588}, told)
	told, err = p.Describe(t.Context(), topicWith(t, "max.message.bytes", "5000"))
	require.NoError(t, err)
	require.Equal(t, 5000, told.MaxMessageBytes)
	_, err = p.Describe(t.Context(), "no-such-topic")
	requireVerdict(t, relay.RefusedTopic, err)
}
