package inboxkafka

import (
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// assignment notes how many partitions of each topic were assigned, where this
// member is the one that assigns. kafka-go looks for new partitions too, but from
// what it finds once a generation has begun: one that was added after the
// assignment and before that look would belong to nobody for as long as the
// generation lasts.
type assignment struct {
	mu         sync.Mutex
	partitions map[string]int
}

// balancers are kafka-go's own, in its order.
func (a *assignment) balancers() []kafka.GroupBalancer {
	return []kafka.GroupBalancer{noting{kafka.RangeGroupBalancer{}, a}, noting{kafka.RoundRobinGroupBalancer{}, a}}
}

// take returns what was noted, nil where another member has assigned.
func (a *assignment) take() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	partitions := a.partitions
	a.partitions = nil
	return partitions
}

type noting struct {
	kafka.GroupBalancer
	*assignment
}

// AssignGroups is part of kafka.GroupBalancer.
func (n noting) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.partitions = map[string]int{}
	for _, p := range partitions {
		n.partitions[p.Topic]++
	}
	return n.GroupBalancer.AssignGroups(members, partitions)
}

// watchGrowth returns, which ends the generation, when a topic has another number
// of partitions than were assigned.
func (m *member) watchGrowth(generation context.Context, every time.Duration, assigned map[string]int) {
	for wait(generation, every) {
		for topic, n := range m.fetch.partitions(generation, m.config.Topics) {
			if n != assigned[topic] {
				m.config.Logger.Info("a topic's number of partitions has changed; the group assigns them anew",
					"group", m.config.GroupID, "topic", topic, "from", assigned[topic], "to", n)
				return
			}
		}
	}
}

// partitions returns how many there are of each topic that could be learned of.
func (f *fetcher) partitions(ctx context.Context, topics []string) map[string]int {
	ctx, cancel := context.WithTimeout(ctx, fetchGrace)
	defer cancel()
	client := kafka.Client{Addr: f.brokers, Transport: f.transport}
	answer, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil
	}
	counts := map[string]int{}
	for _, t := range answer.Topics {
		if t.Error == nil && len(t.Partitions) > 0 {
			counts[t.Name] = len(t.Partitions)
		}
	}
	return counts
}
