package main

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// pickyBroker refuses what has "poison" in it while refuses is set.
func pickyBroker(t *testing.T) (address string, refuses *atomic.Bool) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	refuses = &atomic.Bool{}
	refuses.Store(true)
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		request := r.(*kmsg.ProduceRequest)
		for _, topic := range request.Topics {
			for _, partition := range topic.Partitions {
				if refuses.Load() && bytes.Contains(partition.Records, []byte("poison")) {
					return failingWith(request, kerr.MessageTooLarge.Code), nil, true
				}
			}
		}
		return nil, nil, false
	})
	return cluster.ListenAddrs()[0], refuses
}

// awaitListed waits until so many events are parked or held.
func awaitListed(t *testing.T, env []string, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(listed(t, env)) == n }, 30*time.Second, 50*time.Millisecond)
}

func awaitRecords(t *testing.T, kafka string, want ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(records(t, kafka)) >= len(want) }, 30*time.Second, 50*time.Millisecond)
	require.Equal(t, want, records(t, kafka))
}

// Each command against a relay that works: an event is refused, redriven in vain,
// redriven, another one is discarded, and all is replayed.
func TestOperatingARunningRelay(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	kafka, refuses := pickyBroker(t)
	env := []string{"TANDEM_DATABASE_URL=" + asRelay(t, database)}
	start(t, environment(asRelay(t, database), kafka), "relay").stderr.await(t, "msg=relaying")
	add(t, database, "orders", "1", "poison", "2")
	awaitListed(t, env, 2)
	require.Contains(t, done(t, env, "parked", "list", "--state", "parked"), "orders")

	wait := []string{"--yes", "--wait", "--wait-timeout", "30s"}
	tandem(t, env, append([]string{"parked", "redrive"}, wait...)...).oneLineOf(t, "0 of 1 events sent, 1 refused again", "tandem parked list")
	refuses.Store(false)
	require.Contains(t, done(t, env, append([]string{"parked", "redrive"}, wait...)...), "done, 1 of 1 events sent")
	awaitRecords(t, kafka, "1", "poison", "2")
	awaitListed(t, env, 0)

	refuses.Store(true)
	add(t, database, "orders", "poison again", "3")
	awaitListed(t, env, 2)
	require.Contains(t, done(t, env, append([]string{"parked", "discard", "--reason", "large"}, wait...)...), "1 parked events are discarded")
	awaitRecords(t, kafka, "1", "poison", "2", "3")
	awaitListed(t, env, 0)

	refuses.Store(false)
	require.Eventually(t, func() bool { // the last event is saved
		return strings.Contains(done(t, env, "replay", "--dry-run"), "dry run: 4 events")
	}, 30*time.Second, 50*time.Millisecond)
	text := done(t, env, append([]string{"replay", "--topic", "orders"}, wait...)...)
	require.Contains(t, text, "done, 4 of 4 events sent")
	awaitRecords(t, kafka, "1", "poison", "2", "3", "1", "poison", "2", "3")
	require.Equal(t, 4, replayed(t, kafka))
}

// replayed counts the records of topic "orders" that bear the mark of a replay.
func replayed(t *testing.T, brokers string) (n int) {
	t.Helper()
	for partition := range 3 {
		conn, err := kafka.DialLeader(t.Context(), "tcp", brokers, "orders", partition)
		require.NoError(t, err)
		first, last, err := conn.ReadOffsets()
		require.NoError(t, err)
		for at := first; at < last; at++ {
			m, err := conn.ReadMessage(1 << 20)
			require.NoError(t, err)
			for _, header := range m.Headers {
				if header.Key == "tandem-replay" {
					n++
				}
			}
		}
		require.NoError(t, conn.Close())
	}
	return n
}
