package inboxkafka

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// A partition that was added after the assignment and before kafka-go's first look
// ends the generation of the member that assigned.
func TestATopicThatGrewDuringTheAssignmentIsNoticed(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "grown", "same"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	config := Config{Brokers: cluster.ListenAddrs(), Topics: []string{"grown", "same", "missing"}, FetchBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
	m := &member{Consumer: &Consumer{config: config}, fetch: newFetcher(transport, config)}

	shares := &assignment{}
	require.Nil(t, shares.take())
	members := []kafka.GroupMember{{ID: "a", Topics: config.Topics}}
	assigned := shares.balancers()[0].AssignGroups(members, []kafka.Partition{{Topic: "grown"}, {Topic: "same"}, {Topic: "same", ID: 1}})
	require.Equal(t, map[string][]int{"grown": {0}, "same": {0, 1}}, assigned["a"])
	noted := shares.take()
	require.Equal(t, map[string]int{"grown": 1, "same": 2}, noted)
	require.Nil(t, shares.take())

	m.watchGrowth(t.Context(), time.Millisecond, noted)
	noted["grown"] = 2
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	m.watchGrowth(ctx, time.Millisecond, noted)
	require.Error(t, ctx.Err(), "the same number ends nothing")
}
