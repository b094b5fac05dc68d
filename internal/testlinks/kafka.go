//go:build unix

package testlinks

import (
	"context"
	"net"
	"testing"

	"github.com/tandem-outbox/tandem/internal/kafkaproxy"
)

// Kafka is the network between a process and the brokers.
type Kafka struct {
	Faults
	proxy   *kafkaproxy.Proxy
	brokers []string
}

// NewKafka leads to the brokers with these addresses, as they advertise them, until
// the test ends. They may come and go. They must allow connections that are not
// encrypted. One that is told by another and is not among them fails the test.
func NewKafka(t testing.TB, brokers []string) *Kafka {
	t.Helper()
	k, addresses := &Kafka{proxy: kafkaproxy.Start(t)}, map[string]string{}
	dial := kafkaproxy.Dial(k.proxy.Address())
	for _, broker := range brokers {
		f := newFront(t, func(ctx context.Context) (net.Conn, error) { return dial(ctx, "tcp", broker) })
		addresses[broker] = f.server.Address()
		k.fronts, k.brokers = append(k.fronts, f), append(k.brokers, f.server.Address())
	}
	k.proxy.Rewrite(addresses)
	return k
}

// Brokers are the addresses for the process, in the same order. It never learns
// others.
func (k *Kafka) Brokers() []string { return k.brokers }

// LoseReply lets a broker carry out the next request with this key, loses the
// answer, and resets that one connection; the channel is closed when that has
// happened. Where the connection ends before the broker has answered, the channel
// is closed too.
func (k *Kafka) LoseReply(key kafkaproxy.Key) <-chan struct{} { return k.proxy.LoseReply(key) }

// Withdraw takes back what LoseReply was told and no request has met. Those
// channels stay open.
func (k *Kafka) Withdraw() { k.proxy.Withdraw() }
