package relay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

type counters struct {
	read, published, requests, retries, reclaimed, saves atomic.Int64
	parked, held, deferred, scheduled, expired           atomic.Int64
	released, lost, skipped, replayed                    atomic.Int64
}

// Stats counts what a Relay has done since New.
type Stats struct {
	Read      int64 // events read from the log, again after a lost connection
	Published int64 // events acknowledged by the broker, from the log or set aside before
	Requests  int64 // sent to the broker
	Retries   int64 // requests that were sent again
	Saves     int64 // checkpoints saved
	Reclaimed int64 // leaves of the log given back

	Parked    int64 // events refused by the broker and set aside for an operator
	Held      int64 // events set aside behind a parked one of their key
	Deferred  int64 // events set aside because their topic could not be written to
	Scheduled int64 // events set aside until their time
	Released  int64 // events that were set aside and have been acknowledged since
	Expired   int64 // events not sent because their time had passed
	Lost      int64 // at-most-once events whose one attempt failed
	Skipped   int64 // at-most-once events that an earlier term may have sent
	Replayed  int64 // events sent again on purpose
}

// Stats may be called at any time.
func (r *Relay) Stats() Stats {
	s := &r.stats
	return Stats{
		Read: s.read.Load(), Published: s.published.Load(), Requests: s.requests.Load(), Retries: s.retries.Load(),
		Saves: s.saves.Load(), Reclaimed: s.reclaimed.Load(),
		Parked: s.parked.Load(), Held: s.held.Load(), Deferred: s.deferred.Load(), Scheduled: s.scheduled.Load(),
		Released: s.released.Load(), Expired: s.expired.Load(), Lost: s.lost.Load(), Skipped: s.skipped.Load(), Replayed: s.replayed.Load(),
	}
}

// TopicStats is what a relay that holds the lease knows of a topic.
type TopicStats struct {
	Topic      string
	Partitions int   // 0 while not known
	Published  int64 // events acknowledged in this term
	Waiting    int   // events read and not yet acknowledged or set aside
	// Trouble says why events of the topic cannot be published, for people; empty
	// while they can. Since is when that began.
	Trouble string
	Since   time.Time
	// SetAside means that the topic's events are being kept in the database
	// until it can be written to again.
	SetAside bool
}

// Topics returns the topics of the present term, by name; none while the relay
// does not hold the lease. It may be called at any time.
func (r *Relay) Topics() []TopicStats {
	t := r.current.Load()
	if t == nil {
		return nil
	}
	t.topicsMu.Lock()
	topics := slices.Collect(maps.Values(t.topics))
	t.topicsMu.Unlock()
	all := make([]TopicStats, 0, len(topics))
	for _, tp := range topics {
		all = append(all, tp.describe())
	}
	slices.SortFunc(all, func(a, b TopicStats) int { return strings.Compare(a.Topic, b.Topic) })
	return all
}

func (tp *topic) describe() TopicStats {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	s := TopicStats{
		Topic: tp.name, Partitions: len(tp.lanes), Published: tp.published.Load(), Waiting: len(tp.waiting) + tp.under,
		Trouble: tp.trouble, SetAside: tp.aside || tp.stuck() != nil,
	}
	for _, l := range tp.lanes {
		if s.Trouble == "" && l.trouble != "" {
			s.Trouble = fmt.Sprintf("partition %d: %s", l.partition, l.trouble)
		}
	}
	if s.Trouble != "" {
		s.Since = tp.since
	}
	return s
}

// Hooks are called by the relay as it works, by many goroutines at a time. They
// must return soon; the events belong to the relay.
type Hooks struct {
	// Acknowledged is called when the broker has acknowledged events of one
	// partition, and took that long from the first attempt on.
	Acknowledged func(topic string, partition int, events []*Event, took time.Duration)
}
