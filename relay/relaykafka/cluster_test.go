package relaykafka

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/relay"
)

const testSource = "/tandem/shop"

// newCluster starts brokers that have the topic orders with 3 partitions.
func newCluster(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, "orders")}, options...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

// newPublisher returns a publisher that is closed before its cluster.
func newPublisher(t testing.TB, brokers []string, change ...func(*Config)) *Publisher {
	t.Helper()
	config := Config{Brokers: brokers, Source: testSource, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&config)
	}
	p, err := New(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// numbered are n events, the first of which has the number first.
func numbered(first, n int) []*relay.Event {
	events := make([]*relay.Event, n)
	for i := range events {
		events[i] = &relay.Event{
			Position: int64(first + i), ID: [16]byte{14: byte((first + i) >> 8), 15: byte(first + i)}, Partition: -1,
			CreatedAt: someTime, Key: []byte("k"), Payload: []byte{byte(first + i)},
		}
	}
	return events
}

// fetch reads n records of a partition with franz-go.
func fetch(t testing.TB, brokers []string, topic string, partition int32, n int) []record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {partition: kgo.NewOffset().AtStart()},
	}))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var rs []record
	for len(rs) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err(), "%d records of %d so far: %v", len(rs), n, rs)
		fetches.EachRecord(func(r *kgo.Record) {
			var hs []header
			for _, h := range r.Headers {
				hs = append(hs, header{h.Key, string(h.Value)})
			}
			rs = append(rs, record{r.Offset, r.Timestamp.UnixMilli(), r.Key, r.Value, hs})
		})
	}
	return rs
}

// fetchKafkaGo reads n records of a partition with kafka-go's Client. (Its Reader
// does not tell an empty value from a null.)
func fetchKafkaGo(t testing.TB, brokers []string, topic string, partition, n int) []record {
	t.Helper()
	transport := new(kafka.Transport)
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport}
	response, err := client.Fetch(t.Context(), &kafka.FetchRequest{
		Topic: topic, Partition: partition, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second,
	})
	require.NoError(t, err)
	require.NoError(t, response.Error)
	rs := readRecords(t, response.Records)
	require.Len(t, rs, n)
	return rs
}

// listener counts the connections of a cluster and can lose its answers.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns []*lossyConn
	lose  atomic.Bool // cut the connection instead of sending the next answer about orders
}

type lossyConn struct {
	net.Conn
	listener *listener
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	lossy := &lossyConn{c, l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, lossy)
	return lossy, nil
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("orders")) && c.listener.lose.CompareAndSwap(true, false) {
		c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// cutAll cuts every connection.
func (l *listener) cutAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// withListener makes the cluster listen through l.
func withListener(l *listener) kfake.Opt {
	return kfake.ListenFn(func(network, address string) (net.Listener, error) {
		inner, err := net.Listen(network, address)
		l.Listener = inner
		return l, err
	})
}

// publishUntil publishes as the relay does, again and again until it works.
func publishUntil(t testing.TB, p *Publisher, topic string, partition int, events []*relay.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.Publish(ctx, topic, partition, events)
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

// verdictOf returns the verdict of a refusal and Retry for any other error.
func verdictOf(t testing.TB, err error) relay.Verdict {
	t.Helper()
	require.Error(t, err)
	for _, v := range []relay.Verdict{relay.RefusedRecords, relay.RefusedTopic} {
		if has(v, err) {
			return v
		}
	}
	return relay.Retry
}
