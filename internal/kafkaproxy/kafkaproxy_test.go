//go:build unix

package kafkaproxy_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/kafkaproxy"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// group is a group's offset of one partition, and clients that ask for it.
type group struct {
	topic   string
	brokers []string
}

func newGroup(t *testing.T) group {
	t.Helper()
	return group{testservers.Topic(t, 1), testservers.Kafka(t)}
}

func (g group) client(t *testing.T, options ...kgo.Opt) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(g.brokers...))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func (g group) through(t *testing.T, p *kafkaproxy.Proxy) *kadm.Client {
	t.Helper()
	return g.client(t, kgo.Dialer(kafkaproxy.Dial(p.Address())))
}

func (g group) commit(ctx context.Context, client *kadm.Client, offset int64) error {
	offsets := kadm.Offsets{}
	offsets.AddOffset(g.topic, 0, offset, -1)
	return client.CommitAllOffsets(ctx, g.topic, offsets)
}

func (g group) committed(client *kadm.Client) int64 {
	offsets, err := client.FetchOffsets(context.Background(), g.topic)
	o, ok := offsets.Lookup(g.topic, 0)
	if err != nil || !ok {
		return -1
	}
	return o.At
}

func commits(k kafkaproxy.Key) bool { return k == kafkaproxy.OffsetCommit }

// Before the broker has a request it can be kept from it; when the broker has
// answered, it is done, and the client does not know.
func TestRequestsAndAnswersThatGetLost(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	direct := g.client(t)
	require.NoError(t, g.commit(t.Context(), direct, 1)) // the broker has a coordinator now
	require.EqualValues(t, 1, g.committed(direct))
	for i, rule := range []func(*kafkaproxy.Proxy, func(kafkaproxy.Key) bool, func()){(*kafkaproxy.Proxy).Before, (*kafkaproxy.Proxy).Answered} {
		p := kafkaproxy.Start(t)
		ctx, cancel := context.WithCancel(t.Context())
		rule(p, commits, func() {
			p.Swallow()
			cancel()
		})
		require.Error(t, g.commit(ctx, g.through(t, p), int64(2+i)))
		require.EqualValues(t, 1+2*i, g.committed(direct))
	}
}

// A request is with the broker while its client still waits.
func TestAfterComesBetweenTheRequestAndItsAnswer(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	direct := g.client(t)
	require.NoError(t, g.commit(t.Context(), direct, 1)) // the broker has a coordinator now
	p := kafkaproxy.Start(t)
	held, let := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(let) })
	t.Cleanup(release)
	p.After(commits, func() { close(held); <-let })
	client, done := g.through(t, p), make(chan error, 1)
	go func() { done <- g.commit(t.Context(), client, 2) }()
	<-held
	require.Eventually(t, func() bool { return g.committed(direct) == 2 }, 30*time.Second, 10*time.Millisecond)
	require.Empty(t, done, "the client has an answer")
	release()
	require.NoError(t, <-done)
}
