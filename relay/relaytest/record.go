package relaytest

import (
	"fmt"
	"strings"
	"time"
)

// Record is an event as a broker keeps it.
type Record struct {
	Topic     string
	Partition int
	Offset    int64 // its place in the partition

	ID      string            // the event's, in its 36-character form: CloudEvents' id
	Type    string            // CloudEvents' type; the topic, where the event has none
	Source  string            // CloudEvents' source
	Time    time.Time         // CloudEvents' time: when the event was written
	Key     []byte            // nil where there is none
	Headers map[string]string // the event's own, without those of CloudEvents
	Payload []byte            // nil is a null value, a tombstone
}

// String describes the record in a line.
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%d offset %d: id %s, type %q, ", r.Topic, r.Partition, r.Offset, r.ID, r.Type)
	if r.Key == nil {
		b.WriteString("no key, ")
	} else {
		fmt.Fprintf(&b, "key %q, ", r.Key)
	}
	if len(r.Headers) > 0 {
		fmt.Fprintf(&b, "headers %q, ", r.Headers)
	}
	if r.Payload == nil {
		b.WriteString("tombstone")
	} else {
		fmt.Fprintf(&b, "payload %s", short(r.Payload))
	}
	return b.String()
}

// short is a payload for people.
func short(payload []byte) string {
	const limit = 200
	if len(payload) > limit {
		return fmt.Sprintf("%q… (%d bytes)", payload[:limit], len(payload))
	}
	return fmt.Sprintf("%q", payload)
}

// text is a UUID in its 36-character form.
func text(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
