package inboxkafka

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// Batch is what one transaction did.
type Batch struct {
	Topic     string
	Partition int
	Took      time.Duration // from its begin to its commit

	Handled    int // messages whose handler succeeded
	Duplicates int // that were known
	Retried    int // attempts that were not the first
	Failed     int // to be tried again later
	Parked     int // for an operator
	Held       int // behind another one of their key
	Skipped    int // for good
	Lost       int // of an at-most-once consumer
}

// Totals is the sum of all batches since the Consumer was made.
type Totals struct {
	Batches                                                           int64
	Handled, Duplicates, Retried, Failed, Parked, Held, Skipped, Lost int64
}

// Stats is what a Consumer did and how it does.
type Stats struct {
	Totals
	Partitions []PartitionStats // that are assigned now
}

// PartitionStats is how a partition does.
type PartitionStats struct {
	Topic     string `json:"-"`
	Partition int    `json:"-"`
	// State is "working", "blocked" (by a message that holds the partition, or
	// because message after message fails) or "starting".
	State string `json:"state"`
	Why   string `json:"why,omitempty"`
	// Next is the offset after the last message that was applied or set aside,
	// End that after the partition's last message, Lag the difference. Below
	// zero they are not known yet.
	Next int64 `json:"next"`
	End  int64 `json:"end"`
	Lag  int64 `json:"lag"`
	// HeldKeys counts the keys that wait, Aside the messages that are set aside.
	HeldKeys int   `json:"held_keys"`
	Aside    int64 `json:"aside"`

	mu    *sync.Mutex
	fence *apply.Fence
}

// stats is what goroutines of partitions write and others read.
type stats struct {
	mu         sync.Mutex
	totals     Totals
	partitions map[*PartitionStats]struct{}
	settled    time.Time // when a batch was last committed
}

func newStats() *stats { return &stats{partitions: map[*PartitionStats]struct{}{}} }

func (s *stats) partition(topic string, id int) *PartitionStats {
	return &PartitionStats{Topic: topic, Partition: id, State: "starting", Next: -1, End: -1, Lag: -1, mu: &s.mu}
}

func (s *stats) add(b Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.totals
	t.Batches++
	for sum, n := range map[*int64]int{
		&t.Handled: b.Handled, &t.Duplicates: b.Duplicates, &t.Retried: b.Retried, &t.Failed: b.Failed,
		&t.Parked: b.Parked, &t.Held: b.Held, &t.Skipped: b.Skipped, &t.Lost: b.Lost,
	} {
		*sum += int64(n)
	}
	s.settled = time.Now()
}

func (p *PartitionStats) applied(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Next = offset
}

// publish shows how the partition does, until it is given up.
func (p *partition) publish(assigned bool) {
	s := p.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	if !assigned {
		delete(s.partitions, p.state)
		return
	}
	s.partitions[p.state] = struct{}{}
	t := p.state
	t.State, t.Why = "working", ""
	switch {
	case p.config.Delivery == ExactlyOnce && p.fence == nil:
		t.State, t.Why = "starting", "it is being taken over"
	case p.lanes.blocked():
		t.State, t.Why = "blocked", "a message that is set aside holds the partition"
	case p.resume.After(time.Now()):
		t.State, t.Why = "blocked", "message after message fails"
	case p.fetching.state != "":
		t.State, t.Why = "blocked", "messages cannot be fetched"
	case p.applying.state != "":
		t.State, t.Why = "blocked", "the database does not take a batch"
	}
	t.End, t.fence = p.end, p.fence
	if t.Next < 0 && len(p.live.items) == 0 {
		t.Next = p.next
	}
	if t.Lag = -1; t.Next >= 0 && t.End > 0 {
		t.Lag = max(t.End-t.Next, 0)
	}
	t.HeldKeys, t.Aside = p.lanes.heldKeys(), p.lanes.rows
}

// Stats returns a moment's figures. It may be called at any time.
func (c *Consumer) Stats() Stats {
	s := c.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Totals: s.totals}
	for p := range maps.Keys(s.partitions) {
		out.Partitions = append(out.Partitions, *p)
	}
	slices.SortFunc(out.Partitions, func(a, b PartitionStats) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out
}
