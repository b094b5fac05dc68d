package relaykafka

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/relay"
)

func shortTimeout(c *Config) { c.ProduceTimeout = 300 * time.Millisecond }

// TestLostAnswer loses the acknowledgement of what was appended: an error, and
// after the relay's repetition a duplicate with the same ce_id.
func TestLostAnswer(t *testing.T) {
	lossy := new(listener)
	cluster := newCluster(t, withListener(lossy))
	p := newPublisher(t, cluster.ListenAddrs())
	require.NoError(t, p.Publish(t.Context(), "orders", 0, numbered(0, 1)))

	lossy.lose.Store(true)
	require.Equal(t, relay.Retry, verdictOf(t, p.Publish(t.Context(), "orders", 0, numbered(1, 2))))
	publishUntil(t, p, "orders", 0, numbered(1, 2))

	got := fetch(t, cluster.ListenAddrs(), "orders", 0, 5)
	require.Equal(t, got[1].Headers, got[3].Headers)
	require.Equal(t, got[2].Headers, got[4].Headers)
}

// TestAppendedButNotAcknowledged has the broker say that too few replicas have
// the batch: it is no success.
func TestAppendedButNotAcknowledged(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders", Err: kerr.NotEnoughReplicasAfterAppend})
	require.Equal(t, relay.Retry, verdictOf(t, p.Publish(t.Context(), "orders", 0, numbered(0, 1))))
}

func TestConnectionsAreCut(t *testing.T) {
	lossy := new(listener)
	cluster := newCluster(t, withListener(lossy))
	p := newPublisher(t, cluster.ListenAddrs())
	require.NoError(t, p.Publish(t.Context(), "orders", 0, numbered(0, 1)))
	lossy.cutAll()
	publishUntil(t, p, "orders", 0, numbered(1, 1))
}

func TestBrokerRestart(t *testing.T) {
	dir := t.TempDir()
	cluster := newCluster(t, kfake.DataDir(dir))
	addrs := cluster.ListenAddrs()
	_, text, err := net.SplitHostPort(addrs[0])
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	p := newPublisher(t, addrs)
	require.NoError(t, p.Publish(t.Context(), "orders", 0, numbered(0, 1)))
	cluster.Close()
	require.Equal(t, relay.Retry, verdictOf(t, p.Publish(t.Context(), "orders", 0, numbered(1, 1))))

	newCluster(t, kfake.DataDir(dir), kfake.Ports(port))
	publishUntil(t, p, "orders", 0, numbered(1, 1))
	require.Equal(t, wanted(t, "orders", testSource, numbered(0, 2)), fetch(t, addrs, "orders", 0, 2))
}

// TestLeaderMoves is about the next call, not about some time later.
func TestLeaderMoves(t *testing.T) {
	cluster := newCluster(t, kfake.NumBrokers(3))
	p := newPublisher(t, cluster.ListenAddrs(), func(c *Config) { c.MetadataTTL = time.Hour })
	for i := range 6 {
		require.NoError(t, p.Publish(t.Context(), "orders", 0, numbered(2*i, 1)))
		require.NoError(t, cluster.MoveTopicPartition("orders", 0, (cluster.LeaderFor("orders", 0)+1)%3))
		require.Equal(t, relay.Retry, verdictOf(t, p.Publish(t.Context(), "orders", 0, numbered(2*i+1, 1))))
		require.NoError(t, p.Publish(t.Context(), "orders", 0, numbered(2*i+1, 1)))
	}
	require.Equal(t, wanted(t, "orders", testSource, numbered(0, 12)), fetch(t, cluster.ListenAddrs(), "orders", 0, 12))
}

// silentBroker takes produce requests and never answers. The channel gets one
// value per request.
func silentBroker(t *testing.T, cluster *kfake.Cluster) <-chan struct{} {
	asked := make(chan struct{}, 10)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked <- struct{}{}
		return nil, nil, true
	})
	return asked
}

func TestSilentBrokerTimesOut(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs(), shortTimeout)
	silentBroker(t, cluster)
	err := p.Publish(t.Context(), "orders", 0, numbered(0, 1))
	require.Equal(t, relay.Retry, verdictOf(t, err))
	require.ErrorContains(t, err, `topic "orders" partition 0`)
}

func TestCallerGivesUp(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	asked := silentBroker(t, cluster)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	require.ErrorIs(t, p.Publish(ctx, "orders", 0, numbered(0, 1)), context.Canceled)
	// Cleanup closes the publisher while the broker still owes its answer, and
	// the goroutine that waits for it must end: goleak looks.
}

func TestCloseEndsCallsUnderWay(t *testing.T) {
	cluster := newCluster(t)
	p := newPublisher(t, cluster.ListenAddrs())
	asked := silentBroker(t, cluster)
	failed := make(chan error)
	go func() { failed <- p.Publish(context.Background(), "orders", 0, numbered(0, 1)) }()
	<-asked
	closed := make(chan error)
	go func() { closed <- p.Close() }()
	require.Error(t, <-failed)
	require.NoError(t, <-closed)
}

// TestNobodyAnswers connects to a listener that accepts and says nothing, as a
// host that has vanished behind a firewall does.
func TestNobodyAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	p := newPublisher(t, []string{silent.Addr().String()}, shortTimeout)
	require.Equal(t, relay.Retry, verdictOf(t, p.Publish(t.Context(), "orders", 0, numbered(0, 1))))
}

// TestNothingIsSentAfterTheCallerHasGivenUp is the promise to a relay whose
// lease ends while the connection is still being made.
func TestNothingIsSentAfterTheCallerHasGivenUp(t *testing.T) {
	r := &produceRequest{bytes: make([]byte, 100), version: 8}
	require.True(t, r.abandon())
	_, err := r.RawExchange(nil) // a nil connection: writing would panic
	require.ErrorIs(t, err, errAbandoned)
}

func TestOldBrokersAreRefused(t *testing.T) {
	for _, old := range []interface {
		Required(map[protocol.ApiKey]int16) bool
	}{&produceRequest{}, &metadataRequest{}} {
		require.True(t, old.Required(map[protocol.ApiKey]int16{}))
	}
	_, err := (&produceRequest{version: 2}).RawExchange(nil)
	require.ErrorContains(t, err, "Kafka 0.11 or newer")
	_, err = (&metadataRequest{version: 3}).RawExchange(nil)
	require.ErrorContains(t, err, "Kafka 0.11 or newer")
}

func TestStartAndCloseManyTimes(t *testing.T) {
	cluster := newCluster(t)
	for i := range 100 {
		p := newPublisher(t, cluster.ListenAddrs())
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- p.Publish(ctx, "orders", 0, numbered(i, 1)) }()
		if i%2 == 0 {
			cancel()
		}
		require.NoError(t, p.Close())
		<-failed //nolint:errcheck // cancelled, closed or published: all may be
		cancel()
	}
}
