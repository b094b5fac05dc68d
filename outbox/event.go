package outbox

import (
	"time"

	"github.com/google/uuid"

	"github.com/tandem-outbox/tandem/outbox/internal/insert"
)

// Event is one message for Kafka. Only Topic is required. Its bytes arrive as
// they are given here; nothing is trimmed, converted or re-encoded.
type Event struct {
	// ID is what receivers deduplicate by (header ce_id): a UUID in its
	// 36-character form, in either case. Defaults to a new UUIDv7; set it from
	// NewID where you need to know it. Ids of version 7 are cheaper for the inbox.
	ID string

	// Topic is the Kafka topic: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-',
	// and neither "." nor "..".
	Topic string

	// Key is what order is kept by, and the record's key. Empty means no key:
	// no order, and spread over the partitions. UTF-8 without zero bytes.
	Key string

	// Type is the CloudEvents type (header ce_type), say "order.placed". At
	// most 1,000 bytes. Defaults to the topic.
	Type string

	// Payload is the record's value. Nil is an empty value, zero bytes long.
	Payload []byte

	// Tombstone makes the value null, which in a compacted topic deletes the
	// key. A tombstone has no payload.
	Tombstone bool

	// Headers become record headers of the same names. Names are not empty and
	// do not begin with "ce_" in any case; "content-type" and "traceparent" are
	// yours to set. UTF-8 without zero bytes.
	//
	// "ce_causationid" and "ce_correlationid" are yours too: the id of the message
	// that led to this event, and the id of what began it all. In a handler of
	// package inbox they, traceparent and tracestate default to the message's, by
	// way of the context. The limit on an event's size counts them.
	Headers map[string]string

	// Partition sends the event to this partition, counted from 0, whatever
	// its key. Defaults to the partition of the key, as Java's clients count it.
	Partition *int32

	// AtMostOnce sends the event once or not at all, for what a repetition
	// would spoil (metrics, telemetry): it is claimed durably before it is
	// sent, never retried, and skipped after a restart. It neither holds its
	// key nor waits for it. Defaults to at least once.
	AtMostOnce bool

	// NotBefore schedules the event: it leaves its key's order and goes when it
	// is due by the database's clock, never earlier. Precise to a microsecond,
	// the rest is cut off; in the years 1 to 9999. Zero is at once.
	NotBefore time.Time

	// Expires is when the event is of no use any more: it is not sent after it,
	// but counted and listed as expired, and so is one that has expired already.
	// After NotBefore, where both are set. Precision, range and clock are those
	// of NotBefore. Zero is never.
	Expires time.Time
}

// NewID returns a new UUIDv7 for Event.ID. Ids of one process ascend.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// InvalidEventError says which event of a call was refused, and why: the first
// that is wrong, and the first thing wrong with it. Nothing was written. Find it
// with errors.As.
type InvalidEventError struct {
	Index  int    // of the event in the call, counted from 0
	ID     string // as the caller gave it; empty where Add was to make one
	Topic  string // as the caller gave it
	Field  string // id, topic, type, partition, not_before, expires, key, headers or payload
	Reason string // for people
	Limit  int    // the bound that was passed, in Field's unit; 0 where it is not about one
}

// Error names the event, the field and the reason.
func (e *InvalidEventError) Error() string { return (*insert.Problem)(e).Error() }
