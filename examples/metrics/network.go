package main

import (
	"context"
	"errors"
	"sync"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/relay"
)

type state int

const (
	fine        state = iota
	answersLost       // what is sent arrives, and nobody hears of it the first time
	away              // nothing arrives
)

// network is what is between the relay and the broker.
type network struct {
	mu      sync.Mutex
	state   state
	refused map[string]int // events that did not arrive, by topic
}

func (n *network) set(s state) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = s
}

func (n *network) refusedOf(topic string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refused[topic]
}

func (n *network) between(p relay.Publisher) relay.Publisher {
	n.refused = map[string]int{}
	return &through{Publisher: p, losing: servers.LoseAnswers(p), network: n}
}

type through struct {
	relay.Publisher

	losing  relay.Publisher
	network *network
}

func (t *through) Publish(ctx context.Context, topic string, partition int, events []*relay.Event) error {
	t.network.mu.Lock()
	state := t.network.state
	if state == away {
		t.network.refused[topic] += len(events)
	}
	t.network.mu.Unlock()
	switch state {
	case answersLost:
		return t.losing.Publish(ctx, topic, partition, events)
	case away:
		return errors.New("connection refused")
	default:
		return t.Publisher.Publish(ctx, topic, partition, events)
	}
}
