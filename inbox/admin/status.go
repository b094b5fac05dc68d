package admin

import (
	"context"
	"encoding/json"
	"time"
)

// Status is how an inbox and its consumers are, as the database has it: what its
// JSON has under a name will be there under that name in later versions too. Times
// are by the database's clock.
type Status struct {
	At     time.Time `json:"at"`
	Schema string    `json:"schema"`
	// Consumers are those that have said something about themselves, own a
	// partition, or have set a message aside; not those that call inbox.Once alone.
	Consumers []Consumer `json:"consumers"`
	Storage   Storage    `json:"storage"`
}

// Consumer is a named receiver, in any number of processes.
type Consumer struct {
	Consumer string `json:"consumer"`
	// Unprovable is what becomes of ids that cannot be proved new: "refuse" or
	// "process".
	Unprovable   string          `json:"unprovable"`
	ConfiguredAt *time.Time      `json:"configured_at"`
	Facts        json.RawMessage `json:"facts"` // the consumer's own words: group, topics, …
	Aside        Aside           `json:"aside"`
	// Late were processed though they could not be proved new, within the foreign
	// ids' retention; Skipped and Discarded were given up, by the handler or a
	// policy, and by operators.
	Late      int64 `json:"processed_unproved"`
	Skipped   int64 `json:"skipped"`
	Discarded int64 `json:"discarded"`
	// More: some of these are beyond what is counted, 100,000.
	More       bool        `json:"more"`
	Partitions []Partition `json:"partitions"`
}

// Aside is what is set aside.
type Aside struct {
	Parked   int64      `json:"parked"`
	Retrying int64      `json:"retrying"`
	Held     int64      `json:"held"`
	UnderWay int64      `json:"under_way"` // of the first two, what an operator has asked for
	Oldest   *time.Time `json:"oldest"`    // when the oldest was set aside
}

// Total counts what waits.
func (a Aside) Total() int64 { return a.Parked + a.Retrying + a.Held }

func (a *Aside) add(b Aside) {
	a.Parked += b.Parked
	a.Retrying += b.Retrying
	a.Held += b.Held
	a.UnderWay += b.UnderWay
	if b.Oldest != nil && (a.Oldest == nil || b.Oldest.Before(*a.Oldest)) {
		a.Oldest = b.Oldest
	}
}

// Partition is one of a topic's, and who has it.
type Partition struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Owner     string    `json:"owner"`
	Epoch     int64     `json:"epoch"` // how many owners there have been
	Since     time.Time `json:"since"`
	SeenAt    time.Time `json:"seen_at"`
	// Unseen: the owner has said nothing for half a minute. What it has said
	// before is still here.
	Unseen bool  `json:"unseen"`
	Aside  Aside `json:"aside"`
	Words
}

// Words are what the owner says of its partition every few seconds; nil or empty
// where it says nothing of that.
type Words struct {
	State    string `json:"state"` // starting, working or blocked
	Why      string `json:"why"`
	Next     *int64 `json:"next"` // the offset to be handled next
	End      *int64 `json:"end"`  // the broker's
	Lag      *int64 `json:"lag"`
	HeldKeys *int64 `json:"held_keys"`
}

// Storage is what the ids take.
type Storage struct {
	Floor   *time.Time `json:"floor"`   // ids made earlier cannot be proved new
	Ceiling *time.Time `json:"ceiling"` // until when there are leaves; nil where there are none
	Leaves  int        `json:"leaves"`
	Bytes   int64      `json:"bytes"` // on disk, with indexes, of all ids
	// IDs, and Foreign ones, are estimates, but where they are so few that they
	// were counted.
	IDs            int64 `json:"ids_estimate"`
	Foreign        int64 `json:"foreign_ids_estimate"`
	IDsCounted     bool  `json:"ids_counted"`
	ForeignCounted bool  `json:"foreign_ids_counted"`
}

// Status looks at the inbox. It counts what is set aside row by row, which takes
// about a second for a million; of all else it counts a bounded number.
func (o *Operator) Status(ctx context.Context) (Status, error) {
	s := &statusReader{Operator: o, status: Status{Schema: o.schema}}
	for _, read := range []func(context.Context) error{s.storage, s.consumers, s.partitions, s.aside, s.given} {
		if err := read(ctx); err != nil {
			return Status{}, explain(err, "read the inbox's status")
		}
	}
	return s.done(), nil
}
