package relaykafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tandem-outbox/tandem/internal/faultyconn"
	"github.com/tandem-outbox/tandem/relay"
)

// Whichever message between the publisher and a broker is the last one of its
// connection, from the first to the last of two calls: a retry is all that is asked
// for, a yes means that the broker has the events, and the repetition brings them
// in order.
func TestTheConnectionFailsAtEachMessage(t *testing.T) {
	line := faultyconn.New(faultyconn.Kafka)
	cluster := newCluster(t, kfake.ListenFn(line.Listen))
	tick := time.NewTicker(20 * time.Millisecond) // the relay's least pause
	defer tick.Stop()
	n, repeated := 0, 0
	want := wanted(t, "orders", testSource, nil)
	disturbed := line.Each(1, func(at int, how faultyconn.How) {
		p, err := New(Config{Brokers: cluster.ListenAddrs(), Source: testSource})
		require.NoError(t, err)
		for {
			count, err := p.Partitions(t.Context(), "orders")
			if err == nil {
				require.Equal(t, 3, count)
				break
			}
			require.Equal(t, relay.Retry, verdictOf(t, err), "message %d %v: %v", at, how, err)
		}
		for range 2 {
			events := numbered(n, 3)
			for begun := time.Now(); ; <-tick.C {
				before := cluster.PartitionInfo("orders", 0).HighWatermark
				err := p.Publish(t.Context(), "orders", 0, events)
				if err == nil {
					break
				}
				require.Equal(t, relay.Retry, verdictOf(t, err), "message %d %v: %v", at, how, err)
				require.Less(t, time.Since(begun), 30*time.Second, "message %d %v: %v", at, how, err)
				if cluster.PartitionInfo("orders", 0).HighWatermark > before { // it was the answer that was lost
					want = append(want, wanted(t, "orders", testSource, events)...)
					repeated++
				}
			}
			want = append(want, wanted(t, "orders", testSource, events)...)
			n += 3
		}
		require.NoError(t, p.Close())
	})
	require.Greater(t, disturbed, 20)
	require.GreaterOrEqual(t, repeated, 2, "no answer was lost")
	got := fetch(t, cluster.ListenAddrs(), "orders", 0, len(want))
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Headers, got[i].Headers, "record %d", i)
	}
}
