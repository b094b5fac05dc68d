package relaykafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"

	"github.com/tandem-outbox/tandem/relay"
)

// encoder writes events as one Kafka record batch (magic 2, uncompressed, no
// producer id). It is used by one goroutine at a time and keeps its buffers.
type encoder struct {
	buf      []byte // the request under construction
	headers  []byte // one event's own headers in a record's form
	envelope envelope
}

func newEncoder(source string) *encoder { return &encoder{envelope: envelope{source: source}} }

// maxBatchBytes keeps the sizes inside Kafka's 32 bits. No broker takes as much.
const maxBatchBytes = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The fixed head of a batch, and where in it what is known only at its end goes.
const (
	batchHeadLen   = 61
	batchLengthAt  = 8
	batchCRCAt     = 17
	batchCRCFrom   = 21
	maxTimestampAt = 35
)

// batchError says which event cannot be made a record, and why.
type batchError struct {
	event *relay.Event
	why   error
}

func (e *batchError) Error() string {
	return fmt.Sprintf("event %s at position %d cannot be made a Kafka record: %v", uuid.UUID(e.event.ID), e.event.Position, e.why)
}

func (e *batchError) Unwrap() error { return e.why }

// sizeHint returns about how many bytes events become, rarely less.
func sizeHint(source, topic string, events []*relay.Event) int {
	n := batchHeadLen
	fixed := envelopeLen + len(source) + 32
	for _, e := range events {
		n += fixed + len(topic) + len(e.Type) + len(e.Key) + len(e.Payload) + len(e.Headers)
	}
	return n
}

// appendBatch appends the batch to e.buf. There must be at least one event.
func (e *encoder) appendBatch(topic string, events []*relay.Event) error {
	start := len(e.buf)
	first := events[0].CreatedAt.UnixMilli()
	e.appendBatchHead(first, len(events))
	latest := first
	for i, event := range events {
		ms := event.CreatedAt.UnixMilli()
		latest = max(latest, ms)
		if err := e.appendRecord(topic, event, ms-first, int64(i)); err != nil {
			return &batchError{event: event, why: err}
		}
		if len(e.buf)-start > maxBatchBytes {
			return &batchError{event: event, why: fmt.Errorf("its batch is larger than %d bytes", maxBatchBytes)}
		}
	}
	batch := e.buf[start:]
	binary.BigEndian.PutUint32(batch[batchLengthAt:], uint32(len(batch)-batchLengthAt-4))
	binary.BigEndian.PutUint64(batch[maxTimestampAt:], uint64(latest))
	binary.BigEndian.PutUint32(batch[batchCRCAt:], crc32.Checksum(batch[batchCRCFrom:], castagnoli))
	return nil
}

func (e *encoder) appendBatchHead(firstTimestamp int64, count int) {
	b := e.buf
	b = binary.BigEndian.AppendUint64(b, 0)                      // base offset, which the broker sets
	b = binary.BigEndian.AppendUint32(b, 0)                      // length of what follows, set at the end
	b = binary.BigEndian.AppendUint32(b, 1<<32-1)                // partition leader epoch, which the broker sets
	b = append(b, 2)                                             // magic
	b = binary.BigEndian.AppendUint32(b, 0)                      // CRC-32C of what follows, set at the end
	b = binary.BigEndian.AppendUint16(b, 0)                      // attributes: uncompressed, time of creation
	b = binary.BigEndian.AppendUint32(b, uint32(count-1))        // last offset delta
	b = binary.BigEndian.AppendUint64(b, uint64(firstTimestamp)) // base timestamp
	b = binary.BigEndian.AppendUint64(b, 0)                      // max timestamp, set at the end
	b = binary.BigEndian.AppendUint64(b, 1<<64-1)                // producer id: none
	b = binary.BigEndian.AppendUint16(b, 1<<16-1)                // producer epoch: none
	b = binary.BigEndian.AppendUint32(b, 1<<32-1)                // base sequence: none
	e.buf = binary.BigEndian.AppendUint32(b, uint32(count))
}

func (e *encoder) appendRecord(topic string, event *relay.Event, sinceFirst, index int64) error {
	own := 0
	e.headers = e.headers[:0]
	if event.Headers != nil {
		var err error
		if e.headers, own, err = appendHeaders(e.headers, event.Headers); err != nil {
			return err
		}
	}
	if event.Replay != 0 {
		e.headers = appendReplay(e.headers, event.Replay)
		own++
	}
	eventType := event.Type
	if eventType == "" {
		eventType = topic
	}
	common, err := e.envelope.set(eventType, event.CreatedAt)
	if err != nil {
		return err
	}
	headers := int64(envelopeHeaders + own)
	size := 1 + varintLen(sinceFirst) + varintLen(index) + bytesLen(event.Key) + bytesLen(event.Payload) +
		varintLen(headers) + common + len(e.headers)

	b := appendVarint(e.buf, int64(size))
	b = append(b, 0) // attributes: none exist
	b = appendVarint(b, sinceFirst)
	b = appendVarint(b, index)
	b = appendBytes(b, event.Key)
	b = appendBytes(b, event.Payload)
	b = appendVarint(b, headers)
	b = e.envelope.append(b, event.ID, event.CreatedAt)
	e.buf = append(b, e.headers...)
	return nil
}
