package relaykafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/tandem-outbox/tandem/relay"
)

// topics remembers, for each topic that was asked for, how many partitions it
// has and which broker leads each. A leader is believed until a request to it
// fails, the number of partitions until it is ttl old.
type topics struct {
	ask    func(ctx context.Context, topic string) (*layout, error)
	ttl    time.Duration
	logger *slog.Logger

	mu    sync.Mutex
	known map[string]*topicEntry
}

// topicEntry is one topic's place in topics.
type topicEntry struct {
	layout atomic.Pointer[layout]
	turn   chan struct{} // holds one token: its holder asks, the others wait for the answer
}

// layout is what a broker said of a topic.
type layout struct {
	leaders []int32 // the leader of each partition, -1 where it has none
	asked   time.Time
	stale   atomic.Bool // a request to one of the leaders has failed
}

// Kafka allows no longer topic names. A longer one is not even asked for.
const maxTopicLen = 249

func (t *topics) entry(topic string) *topicEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.known[topic]
	if e == nil {
		e = &topicEntry{turn: make(chan struct{}, 1)}
		t.known[topic] = e
	}
	return e
}

// partitions returns how many partitions topic has. A count that cannot be
// refreshed because no broker answers goes on being used: the relay then still
// hands out its events, and each lane waits for its own leader.
func (t *topics) partitions(ctx context.Context, topic string) (int, error) {
	e := t.entry(topic)
	l := e.layout.Load()
	if l != nil && time.Since(l.asked) < t.ttl {
		return len(l.leaders), nil
	}
	fresh, err := t.newer(ctx, topic, e, l)
	if err == nil {
		return len(fresh.leaders), nil
	}
	if l == nil || ctx.Err() != nil || has(relay.RefusedTopic, err) {
		return 0, err
	}
	kept := &layout{leaders: l.leaders, asked: time.Now()}
	kept.stale.Store(true)
	e.layout.CompareAndSwap(l, kept)
	return len(l.leaders), nil
}

// leader returns which broker leads the partition, and the layout that says so.
func (t *topics) leader(ctx context.Context, topic string, partition int) (int32, *layout, error) {
	e := t.entry(topic)
	l := e.layout.Load()
	if l == nil || l.stale.Load() || l.leader(partition) < 0 {
		var err error
		if l, err = t.newer(ctx, topic, e, l); err != nil {
			return -1, nil, err
		}
	}
	if partition < 0 || partition >= len(l.leaders) {
		return -1, l, &noPartitionError{topic: topic, partition: partition, count: len(l.leaders)}
	}
	if l.leaders[partition] < 0 {
		return -1, l, fmt.Errorf("topic %q partition %d has no leader: %w", topic, partition, kafka.LeaderNotAvailable)
	}
	return l.leaders[partition], l, nil
}

func (l *layout) leader(partition int) int32 {
	if partition < 0 || partition >= len(l.leaders) {
		return -1
	}
	return l.leaders[partition]
}

// newer returns a layout that is newer than old: another caller's answer where
// it came in meanwhile, else its own.
func (t *topics) newer(ctx context.Context, topic string, e *topicEntry, old *layout) (*layout, error) {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l := e.layout.Load(); l != nil && l != old && !l.stale.Load() {
		return l, nil
	}
	l, err := t.ask(ctx, topic)
	if err != nil {
		if has(relay.RefusedTopic, err) {
			e.layout.Store(nil)
		}
		return nil, err
	}
	e.layout.Store(l)
	if old != nil && len(old.leaders) != len(l.leaders) {
		t.logger.Info("relaykafka: the number of partitions of a topic has changed",
			"topic", topic, "before", len(old.leaders), "now", len(l.leaders))
	}
	return l, nil
}

// noPartitionError says that a topic has fewer partitions than one asks for.
type noPartitionError struct {
	topic            string
	partition, count int
}

func (e *noPartitionError) Error() string {
	return fmt.Sprintf("topic %q has no partition %d, it has %d, counted from 0", e.topic, e.partition, e.count)
}

// layoutOf reads the answer to a metadata request for one topic.
func layoutOf(topic string, response *metadata.Response) (*layout, error) {
	for _, t := range response.Topics {
		if t.Name != topic {
			continue
		}
		if t.ErrorCode != 0 {
			return nil, brokerError(t.ErrorCode, "")
		}
		l := &layout{leaders: make([]int32, len(t.Partitions)), asked: time.Now()}
		for _, p := range t.Partitions {
			if i := int(p.PartitionIndex); i >= 0 && i < len(l.leaders) {
				l.leaders[i] = p.LeaderID
			}
		}
		return l, nil
	}
	return nil, brokerError(int16(kafka.UnknownTopicOrPartition), "")
}
