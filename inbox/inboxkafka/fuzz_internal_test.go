package inboxkafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/ids"
)

// recordBatch is one of Kafka's in its version 2, whose checksum is right whatever
// is in it, and whose records have these offset deltas.
func recordBatch(base int64, attributes int16, producer, first int64, deltas []int8, key, value []byte, name string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(attributes))
	b = binary.BigEndian.AppendUint32(b, 0) // the last delta, which kafka-go does not look at
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	b = binary.BigEndian.AppendUint64(b, uint64(producer))
	b = binary.BigEndian.AppendUint16(b, 0) // its epoch
	b = binary.BigEndian.AppendUint32(b, 0) // sequence
	b = binary.BigEndian.AppendUint32(b, uint32(len(deltas)))
	text := func(to, s []byte) []byte {
		if s == nil {
			return binary.AppendVarint(to, -1)
		}
		return append(binary.AppendVarint(to, int64(len(s))), s...)
	}
	for _, delta := range deltas {
		r := append([]byte{0}, binary.AppendVarint(nil, int64(delta))...) // attributes, time
		r = binary.AppendVarint(r, int64(delta))
		r = text(text(r, key), value)
		r = binary.AppendVarint(r, 2)
		r = text(text(r, []byte("ce_id")), key)
		r = text(text(r, []byte(name)), value)
		b = append(binary.AppendVarint(b, int64(len(r))), r...)
	}
	head := binary.BigEndian.AppendUint64(nil, uint64(base))
	head = binary.BigEndian.AppendUint32(head, uint32(len(b)+9))
	head = append(head, 0, 0, 0, 0, 2) // leader's epoch, magic
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return append(head, b...)
}

// FuzzRecords reads what a broker may send, of any order, any attributes, cut off
// anywhere: each message at or after what was asked for, and before where the
// reading goes on; which it does wherever there was anything.
func FuzzRecords(f *testing.F) {
	f.Add(int64(5), int64(3), int16(0), int64(-1), []byte{0, 1, 2, 3}, []byte("key"), []byte("value"), "ce_type", int64(0), uint16(0))
	f.Add(int64(5), int64(5), int16(protocol.Control|protocol.Transactional), int64(1), []byte{0}, []byte{0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 0}, "", int64(5), uint16(0))
	f.Add(int64(5), int64(5), int16(protocol.Transactional), int64(1), []byte{0, 255, 3}, []byte(nil), []byte(nil), "x", int64(4), uint16(9))
	f.Add(int64(5), int64(1)<<61, int16(0), int64(1), []byte{}, []byte{}, []byte{}, "x", int64(4), uint16(1))
	f.Fuzz(func(t *testing.T, asked, base int64, attributes int16, producer int64, deltas, key, value []byte, name string, aborted int64, cut uint16) {
		if asked < 0 || base < -1 || asked > 1<<61 || base > 1<<61 || len(deltas) > 1000 {
			return // no offsets of Kafka's
		}
		attributes &^= 7 // compression is kafka-go's affair
		signed := make([]int8, len(deltas))
		for i, d := range deltas {
			signed[i] = int8(d)
		}
		set := recordBatch(base, attributes, producer, base, signed, key, value, name)
		set = append(set, recordBatch(base+int64(len(deltas)), 0, -1, 0, signed, value, key, "")...)
		full := len(set)
		set = set[:full-int(cut)%full]
		var records protocol.RecordSet
		_, err := records.ReadFrom(bytes.NewReader(append(binary.BigEndian.AppendUint32(nil, uint32(len(set))), set...)))
		if err != nil {
			return
		}
		transactions := []fetch.ResponseTransaction{{ProducerID: producer, FirstOffset: aborted}, {ProducerID: -1, FirstOffset: 1 << 62}, {ProducerID: 7, FirstOffset: -1 << 63}}
		d := decoder{topic: "t", asked: asked, next: asked, aborted: newAborted(transactions)}
		err = d.read(records.Records)
		require.GreaterOrEqual(t, d.next, asked)
		for _, m := range d.messages {
			require.GreaterOrEqual(t, m.Offset, asked)
			require.Less(t, m.Offset, d.next)
		}
		whole := int(cut)%full == 0 && attributes&int16(protocol.Control|protocol.Transactional) == 0
		if whole && base >= asked && (len(signed) == 0 || slices.Min(signed) >= 0) {
			require.NoError(t, err)
			require.Len(t, d.messages, 2*len(signed))
		}
		if stream, ok := records.Records.(*protocol.RecordStream); ok && err == nil && len(stream.Records) > 0 {
			require.Greater(t, d.next, asked, "the same would be asked for for ever")
		}
	})
}

// FuzzMessage gives headers of any kind to what looks at them before a handler
// does: a message has an id that can be kept, or a verdict that says what is wrong.
func FuzzMessage(f *testing.F) {
	f.Add("ce_id", []byte("1"), "ce_time", []byte("2025-01-01T00:00:00Z"), "ce_specversion", []byte("1.0"), []byte("v"), int64(0))
	f.Add("ce_id", []byte(""), "ce_id", []byte("\xff"), "ce_", []byte{}, []byte{}, int64(-1)<<63)
	f.Add("ce_id", []byte("a\x00"), "ce_time", []byte("yesterday"), "CE_ID", []byte("2"), []byte("v"), int64(1)<<62)
	f.Add("ce_id", bytes.Repeat([]byte("x"), 1001), "traceparent", []byte("00-"), "content-type", []byte("\x00"), []byte("v"), int64(1))
	config := Config{Consumer: "billing"}.withDefaults()
	f.Fuzz(func(t *testing.T, name1 string, value1 []byte, name2 string, value2 []byte, name3 string, value3, payload []byte, millis int64) {
		m, err := message("t", 1, &protocol.Record{
			Offset: 7, Time: time.UnixMilli(millis), Value: protocol.NewBytes(payload),
			Headers: []protocol.Header{{Key: name1, Value: value1}, {Key: name2, Value: value2}, {Key: name3, Value: value3}},
		})
		require.NoError(t, err)
		require.False(t, m.Time.IsZero() && !m.Sent.IsZero() && m.Header("ce_time") == "")
		item := apply.Item{Message: m}
		require.NoError(t, config.prepare(&item))
		if v := item.Verdict; v != nil {
			require.Equal(t, apply.Parked, v.State)
			require.NotEmpty(t, v.Reason)
			require.Error(t, v.Err)
			require.NotEmpty(t, v.Hint)
			return
		}
		require.NotNil(t, m.Value)
		require.Empty(t, ids.Problem(ids.MessageMax, item.Message.ID))
		require.Equal(t, m.Header("ce_id"), item.Message.ID)
		for _, h := range m.Headers {
			require.True(t, !strings.HasPrefix(h.Name, "ce_") || utf8.Valid(h.Value), "%q", h.Name)
		}
		// What a handler adds with its context is fit to be written.
		_ = inbox.WithCause(t.Context(), item.Message)
	})
}
