package relaytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tandem-outbox/tandem/relay"
)

const (
	// defaultPartitions is how many partitions a topic has unless SetPartitions says.
	defaultPartitions = 3
	// maxRecordBytes bounds key, headers and payload of an event, as Kafka's
	// message.max.bytes does unless configured.
	maxRecordBytes = 1 << 20
	// Source is the Source of the records of a Memory.
	Source = "/relaytest"
)

// Memory is a [relay.Publisher] that keeps what is published, for tests. Every
// topic exists, with 3 partitions. It may be used by many goroutines at a time.
// Make it with [NewMemory].
type Memory struct {
	mu         sync.Mutex
	partitions map[string]int // "" is all topics that are not in it
	records    []Record       // as they were appended
	ids        map[string]bool
	offsets    map[lane]int64
	refuses    func(e *relay.Event) bool
	lose       int
	appended   chan struct{} // closed and made anew by each append
}

type lane struct {
	topic     string
	partition int
}

var _ relay.Publisher = (*Memory)(nil)

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{partitions: map[string]int{"": defaultPartitions}, ids: map[string]bool{}, offsets: map[lane]int64{}, appended: make(chan struct{})}
}

// SetPartitions says how many partitions a topic has from now on; 0 is none: the
// topic does not exist, and what is sent to it is refused for that. The relay asks
// every 5 s.
func (m *Memory) SetPartitions(topic string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partitions[topic] = n
}

// Refuse has the events refused of which refuses says yes, as a broker does that
// will never take them. The relay parks such an event, and holds what comes after it
// in its key. Nil ends it.
func (m *Memory) Refuse(refuses func(e *relay.Event) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = refuses
}

// LoseAnswers lets the next n calls to Publish append their events and return an
// error all the same: the relay does not know, and sends them again. What receives
// the records gets them twice.
func (m *Memory) LoseAnswers(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lose = n
}

// Partitions implements [relay.Publisher].
func (m *Memory) Partitions(ctx context.Context, topic string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.count(topic)
	if n == 0 {
		return 0, missing(topic)
	}
	return n, nil
}

func (m *Memory) count(topic string) int {
	if n, said := m.partitions[topic]; said {
		return n
	}
	return m.partitions[""]
}

func missing(topic string) error {
	return &relay.PublishError{Verdict: relay.RefusedTopic, Hint: "Memory.SetPartitions makes it", Err: fmt.Errorf("relaytest: there is no topic %q", topic)}
}

// errLost is what LoseAnswers asks for.
var errLost = errors.New("relaytest: the answer was lost, as Memory.LoseAnswers wants it; the events are there")

// Publish implements [relay.Publisher].
func (m *Memory) Publish(ctx context.Context, topic string, partition int, events []*relay.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	records := make([]Record, len(events))
	for i, e := range events {
		var err error
		if records[i], err = record(topic, partition, e); err != nil {
			return &relay.PublishError{Verdict: relay.RefusedRecords, Err: fmt.Errorf("relaytest: event %d of the batch: %w", i, err)}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refusal(topic, partition, events); err != nil {
		return err
	}
	at := lane{topic, partition}
	for _, r := range records {
		r.Offset = m.offsets[at]
		m.offsets[at]++
		m.records = append(m.records, r)
		m.ids[r.ID] = true
	}
	close(m.appended)
	m.appended = make(chan struct{})
	if m.lose > 0 {
		m.lose--
		return errLost
	}
	return nil
}

// refusal is what is wrong with a request, if anything is.
func (m *Memory) refusal(topic string, partition int, events []*relay.Event) error {
	n := m.count(topic)
	if n == 0 {
		return missing(topic)
	}
	if partition < 0 || partition >= n {
		err := fmt.Errorf("relaytest: topic %q has no partition %d, it has %d, counted from 0", topic, partition, n)
		for _, e := range events {
			if int(e.Partition) != partition {
				return &relay.PublishError{Verdict: relay.RefusedTopic, Err: err}
			}
		}
		return &relay.PublishError{Verdict: relay.RefusedRecords, Hint: "the events themselves ask for this partition", Err: err}
	}
	for i, e := range events {
		refuse := func(why string) error {
			return &relay.PublishError{Verdict: relay.RefusedRecords, Err: fmt.Errorf("relaytest: event %d of the batch, key %q: %s", i, e.Key, why)}
		}
		if size := len(e.Key) + len(e.Headers) + len(e.Payload); size > maxRecordBytes {
			return refuse(fmt.Sprintf("it has %d bytes, allowed are %d", size, maxRecordBytes))
		}
		if m.refuses != nil && m.refuses(e) {
			return refuse("refused, as Memory.Refuse wants it")
		}
	}
	return nil
}

// Records returns everything that was appended, in that order. It is a copy.
func (m *Memory) Records() []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}

// Wait waits until n different events have been published, and returns everything
// that was appended until then. Repetitions do not count. Where ctx ends before, its
// error says how many there were.
func (m *Memory) Wait(ctx context.Context, n int) ([]Record, error) {
	for {
		m.mu.Lock()
		records, ids, appended := m.records, len(m.ids), m.appended
		m.mu.Unlock()
		if ids >= n {
			return slices.Clone(records), nil
		}
		select {
		case <-appended:
		case <-ctx.Done():
			return slices.Clone(records), fmt.Errorf("relaytest: %d events were published, waited for %d: %w", ids, n, context.Cause(ctx))
		}
	}
}

// record copies an event: its slices are the relay's.
func record(topic string, partition int, e *relay.Event) (Record, error) {
	r := Record{
		Topic: topic, Partition: partition, ID: text(e.ID), Type: e.Type, Source: Source, Time: e.CreatedAt.UTC(),
		Key: slices.Clone(e.Key), Payload: slices.Clone(e.Payload),
	}
	if r.Type == "" {
		r.Type = topic
	}
	if e.Headers != nil {
		if err := json.Unmarshal(e.Headers, &r.Headers); err != nil {
			return r, fmt.Errorf("its headers are no JSON object of strings: %w", err)
		}
	}
	return r, nil
}
