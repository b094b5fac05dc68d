package inboxtest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/relay/relaytest"
)

// offsets are those of messages that were never in a topic.
var offsets atomic.Int64

// FromEvent is the message that an event becomes: with a new id unless it has one,
// and an offset that no other has.
func FromEvent(e outbox.Event) inbox.Message {
	r := relaytest.Record{
		Topic: e.Topic, Offset: offsets.Add(1), ID: strings.ToLower(cmp.Or(e.ID, outbox.NewID())), Type: cmp.Or(e.Type, e.Topic),
		Source: relaytest.Source, Time: time.Now().UTC().Truncate(time.Microsecond), Headers: e.Headers,
	}
	if e.Partition != nil {
		r.Partition = int(*e.Partition)
	}
	if e.Key != "" {
		r.Key = []byte(e.Key)
	}
	if !e.Tombstone {
		r.Payload = append([]byte{}, e.Payload...) // nil is an empty payload
	}
	return FromRecord(r)
}

// FromRecord is the message that a record is to whom reads it, such as one that
// outboxtest.Drain returns.
func FromRecord(r relaytest.Record) inbox.Message {
	m := inbox.Message{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: slices.Clone(r.Key), Value: slices.Clone(r.Payload),
		Sent: r.Time.Truncate(time.Millisecond),
	}
	add := func(name, value string) {
		m.Headers = append(m.Headers, inbox.Header{Name: name, Value: []byte(value)})
	}
	add("ce_specversion", "1.0")
	add("ce_id", r.ID)
	add("ce_source", r.Source)
	add("ce_type", r.Type)
	add("ce_time", r.Time.Format(time.RFC3339Nano))
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		add(name, r.Headers[name])
	}
	cloudevent.Read(&m)
	return m
}

// Late is m with an id that was made in the year 2000, which is before the time that
// any inbox remembers: it cannot be proved that the message is new.
func Late(m inbox.Message) inbox.Message {
	const prefix = "00dc6acf-ac00-7" // 2000-01-01 in milliseconds
	id := prefix + outbox.NewID()[len(prefix):]
	m.ID = id
	m.Headers = slices.Clone(m.Headers)
	for i := range m.Headers {
		if m.Headers[i].Name == "ce_id" {
			m.Headers[i].Value = []byte(id)
		}
	}
	return m
}
