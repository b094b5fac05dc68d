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
	Size      int           // messages in it

	Handled    int // messages whose handler succeeded
	Duplicates int // that were known
	Retried    int // attempts that were not the first
	Failed     int // to be tried again later
	Parked     int // for an operator
	Held       int // behind another one of their key
	Skipped    int // for good
	Lost       int // of an at-most-once consumer
}

// Totals is the sum of batches since the Consumer was made.
type Totals struct {
	Batches                                                           int64
	Handled, Duplicates, Retried, Failed, Parked, Held, Skipped, Lost int64
}

func (t *Totals) add(u Totals) {
	t.Batches += u.Batches
	t.Handled += u.Handled
	t.Duplicates += u.Duplicates
	t.Retried += u.Retried
	t.Failed += u.Failed
	t.Parked += u.Parked
	t.Held += u.Held
	t.Skipped += u.Skipped
	t.Lost += u.Lost
}

func (b *Batch) totals() Totals {
	return Totals{
		Batches: 1, Handled: int64(b.Handled), Duplicates: int64(b.Duplicates), Retried: int64(b.Retried), Failed: int64(b.Failed),
		Parked: int64(b.Parked), Held: int64(b.Held), Skipped: int64(b.Skipped), Lost: int64(b.Lost),
	}
}

// Stats is what a Consumer did and how it does.
type Stats struct {
	Consumer   string           // Config.Consumer
	Totals                      // of all topics
	Topics     []TopicStats     // each of Config.Topics, by name
	Partitions []PartitionStats // that are assigned now, by topic and number
}

// TopicStats is what a Consumer did with a topic.
type TopicStats struct {
	Topic string
	Totals
}

// PartitionStats is how a partition does.
type PartitionStats struct {
	Topic     string `json:"-"`
	Partition int    `json:"-"`
	// State is "working", "starting" (it is being taken over) or "blocked": by a
	// message that holds the partition, because message after message fails, or
	// because the database or the broker fails.
	State string `json:"state"`
	Why   string `json:"why,omitempty"`
	// Since is when that State began.
	Since time.Time `json:"since"`
	// Next is the offset after the last message that was applied or set aside,
	// End that after the partition's last message that is committed, Lag the
	// difference. Below zero they are not known yet. End is never older than a
	// few seconds, also while the partition is blocked.
	Next int64 `json:"next"`
	End  int64 `json:"end"`
	Lag  int64 `json:"lag"`
	// HeldKeys counts the keys that wait, Aside the messages that are set aside.
	HeldKeys int   `json:"held_keys"`
	Aside    int64 `json:"aside"`

	mu      *sync.Mutex
	fence   *apply.Fence
	cause   error // of Why, where it is not a message's
	policy  bool  // it is blocked by a message, as the Config asks for
	fetched int64 // End as the last fetch told it
}

// stats is what goroutines of partitions write and others read.
type stats struct {
	mu         sync.Mutex
	topics     map[string]*Totals
	partitions map[*PartitionStats]struct{}
	standing   standing
	silence    silence
}

func newStats(topics []string) *stats {
	s := &stats{topics: map[string]*Totals{}, partitions: map[*PartitionStats]struct{}{}}
	for _, t := range topics {
		s.topics[t] = &Totals{}
	}
	return s
}

func (s *stats) partition(topic string, id int) *PartitionStats {
	return &PartitionStats{Topic: topic, Partition: id, State: "starting", Since: time.Now(), Next: -1, End: -1, Lag: -1, mu: &s.mu, fetched: -1}
}

func (s *stats) add(b Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[b.Topic].add(b.totals())
}

func (p *PartitionStats) applied(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Next = offset
}

// publish shows how the partition does, until it is given up.
func (p *partition) publish(assigned bool) {
	p.setAside.flush(!assigned)
	s := p.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	if !assigned {
		delete(s.partitions, p.state)
		return
	}
	s.partitions[p.state] = struct{}{}
	t := p.state
	state, policy := t.State, t.policy
	p.tell(t)
	if t.State != state || t.policy != policy {
		t.Since = time.Now()
	}
	t.fence = p.fence
	if p.end != t.fetched {
		t.End, t.fetched = p.end, p.end
	}
	if t.Next < 0 && len(p.live.items) == 0 {
		t.Next = p.next
	}
	t.lag()
	t.HeldKeys, t.Aside = p.lanes.heldKeys(), p.lanes.rows
}

// tell sets State and Why.
func (p *partition) tell(t *PartitionStats) {
	t.State, t.Why, t.cause, t.policy = "working", "", nil, false
	switch {
	case p.config.Delivery == ExactlyOnce && p.fence == nil:
		t.State, t.Why, t.cause = "starting", "it is being taken over", p.applying.err
	case p.lanes.blocked():
		t.State, t.Why, t.policy = "blocked", "a message that is set aside holds the partition", true
	case p.breaking.state != "":
		t.State, t.Why = "blocked", "message after message fails"
	case p.fetching.state == "deleted":
		t.State, t.Why = "blocked", "the messages at the group's offset were deleted"
	case p.fetching.state != "":
		t.State, t.Why, t.cause = "blocked", "messages cannot be fetched", p.fetching.err
	case p.applying.state != "":
		t.State, t.Why, t.cause = "blocked", "the database does not take a batch", p.applying.err
	}
}

// lag makes Lag what Next and End say.
func (t *PartitionStats) lag() {
	if t.Lag = -1; t.Next >= 0 && t.End >= 0 {
		t.Lag = max(t.End-t.Next, 0)
	}
}

// Stats returns a moment's figures. It may be called at any time.
func (c *Consumer) Stats() Stats {
	s := c.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Consumer: c.config.Consumer}
	for _, topic := range slices.Sorted(maps.Keys(s.topics)) {
		out.Topics = append(out.Topics, TopicStats{Topic: topic, Totals: *s.topics[topic]})
		out.add(*s.topics[topic])
	}
	for p := range s.partitions {
		out.Partitions = append(out.Partitions, *p)
	}
	slices.SortFunc(out.Partitions, func(a, b PartitionStats) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out
}
