package relaykafka

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/tandem-outbox/tandem/relay"
)

// record is one Kafka record, as tests compare it. A nil key or value is a null.
type record struct {
	Offset     int64
	At         int64 // milliseconds since 1970
	Key, Value []byte
	Headers    []header
}

// wanted is what events must have become.
func wanted(t testing.TB, topic, source string, events []*relay.Event) []record {
	t.Helper()
	var rs []record
	for i, e := range events {
		eventType := e.Type
		if eventType == "" {
			eventType = topic
		}
		hs := []header{
			{"ce_specversion", "1.0"},
			{"ce_id", uuid.UUID(e.ID).String()},
			{"ce_source", source},
			{"ce_type", eventType},
			{"ce_time", e.CreatedAt.UTC().Format("2006-01-02T15:04:05.000000Z")},
		}
		if e.Headers != nil {
			own, err := jsonHeaders(e.Headers)
			require.NoError(t, err)
			hs = append(hs, own...)
		}
		if e.Replay != 0 {
			hs = append(hs, header{"tandem-replay", strconv.FormatInt(e.Replay, 10)})
		}
		rs = append(rs, record{int64(i), e.CreatedAt.UnixMilli(), e.Key, e.Payload, hs})
	}
	return rs
}

func encodeBatch(t testing.TB, topic, source string, events []*relay.Event) []byte {
	t.Helper()
	e := newEncoder(source)
	require.NoError(t, e.appendBatch(topic, events))
	return e.buf
}

// decodeKafkaGo reads a batch with kafka-go's decoder, which checks its CRC.
func decodeKafkaGo(t testing.TB, batch []byte) []record {
	t.Helper()
	var set protocol.RecordSet
	sized := binary.BigEndian.AppendUint32(nil, uint32(len(batch)))
	_, err := set.ReadFrom(bytes.NewReader(append(sized, batch...)))
	require.NoError(t, err)
	return readRecords(t, set.Records)
}

func readRecords(t testing.TB, records protocol.RecordReader) []record {
	t.Helper()
	var rs []record
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return rs
		}
		require.NoError(t, err)
		key, err := protocol.ReadAll(r.Key)
		require.NoError(t, err)
		value, err := protocol.ReadAll(r.Value)
		require.NoError(t, err)
		var hs []header
		for _, h := range r.Headers {
			hs = append(hs, header{h.Key, string(h.Value)})
		}
		rs = append(rs, record{r.Offset, r.Time.UnixMilli(), key, value, hs})
	}
}

// decodeFranz reads a batch with franz-go's generated decoder.
func decodeFranz(t testing.TB, raw []byte) []record {
	t.Helper()
	var batch kmsg.RecordBatch
	require.NoError(t, batch.ReadFrom(raw))
	require.Len(t, raw, int(batch.Length)+12)
	require.Equal(t, int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli))), batch.CRC)
	require.Equal(t, batch.NumRecords-1, batch.LastOffsetDelta)
	require.EqualValues(t, 2, batch.Magic)
	require.Zero(t, batch.Attributes)
	require.EqualValues(t, -1, batch.ProducerID)
	require.EqualValues(t, -1, batch.ProducerEpoch)
	require.EqualValues(t, -1, batch.FirstSequence)
	var rs []record
	latest := batch.FirstTimestamp
	rest := batch.Records
	for range batch.NumRecords {
		length, behind := readVarint(t, rest)
		own := len(rest) - len(behind) + int(length)
		var r kmsg.Record
		require.NoError(t, r.ReadFrom(rest[:own]))
		rest = rest[own:]
		at := batch.FirstTimestamp + r.TimestampDelta64
		latest = max(latest, at)
		var hs []header
		for _, h := range r.Headers {
			hs = append(hs, header{h.Key, string(h.Value)})
		}
		rs = append(rs, record{int64(r.OffsetDelta), at, r.Key, r.Value, hs})
	}
	require.Empty(t, rest)
	require.Equal(t, latest, batch.MaxTimestamp)
	return rs
}

var someTime = time.Date(2026, 3, 1, 12, 30, 15, 123_456_789, time.FixedZone("UTC+2", 7200))

func someEvents() []*relay.Event {
	return []*relay.Event{
		{Position: 1, ID: [16]byte{1, 0xfe}, CreatedAt: someTime, Key: []byte("k"), Payload: []byte(`{"n":1}`), Type: "order.placed",
			Headers: []byte(`{"content-type": "application/json", "traceparent": "00-0af7-b7ad-01"}`)},
		{Position: 2, ID: [16]byte{2}, CreatedAt: someTime.Add(-5 * time.Millisecond), Key: nil, Payload: nil},
		{Position: 3, ID: [16]byte{15: 3}, CreatedAt: someTime.Add(2 * time.Second), Key: []byte{}, Payload: []byte{}, Headers: []byte(`{"é": "a\n\ud83d\ude00"}`)},
		{Position: 4, ID: [16]byte{4}, CreatedAt: someTime, Payload: []byte("again"), Headers: []byte(`{"a":"b"}`), Replay: 1_234_567},
		{Position: 5, ID: [16]byte{5}, CreatedAt: someTime, Payload: []byte("caused"), Headers: []byte(`{"ce_causationid": "m-2", "ce_correlationid": "m-0",
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}`)},
	}
}

func TestBatchIsReadByOthers(t *testing.T) {
	events := someEvents()
	batch := encodeBatch(t, "orders", "/tandem/shop", events)
	want := wanted(t, "orders", "/tandem/shop", events)
	require.Equal(t, want, decodeKafkaGo(t, batch))
	require.Equal(t, want, decodeFranz(t, batch))
}

func TestEncoderIsUsedAgain(t *testing.T) {
	e := newEncoder("/s")
	events := someEvents()
	require.NoError(t, e.appendBatch("orders", events))
	first := bytes.Clone(e.buf)
	e.buf = e.buf[:0]
	require.NoError(t, e.appendBatch("orders", events))
	require.Equal(t, first, e.buf)
	require.LessOrEqual(t, len(first), sizeHint("/s", "orders", events))
}

func TestSeveralHundredHeaders(t *testing.T) {
	object := []byte("{")
	for i := range 300 {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(object, `"h":"v"`...)
	}
	events := []*relay.Event{{CreatedAt: someTime, Headers: append(object, '}')}}
	batch := encodeBatch(t, "t", "/s", events)
	require.Equal(t, wanted(t, "t", "/s", events), decodeFranz(t, batch))
}

func TestGoldenBatch(t *testing.T) {
	events := []*relay.Event{{ID: [16]byte{0: 0x01, 15: 0xff}, CreatedAt: time.UnixMicro(1_700_000_000_000_001), Key: []byte("k"), Payload: []byte("v"), Headers: []byte(`{"a":"b"}`)}}
	require.Equal(t, goldenBatch, hex.EncodeToString(encodeBatch(t, "t", "/s", events)))
	require.Equal(t, wanted(t, "t", "/s", events), decodeFranz(t, encodeBatch(t, "t", "/s", events)))
}

func TestEventsThatNoRecordCanHold(t *testing.T) {
	for name, bad := range map[string]relay.Event{
		"headers": {Position: 7, ID: [16]byte{7}, CreatedAt: someTime, Headers: []byte(`{"a": 1}`)},
		"year":    {Position: 7, ID: [16]byte{7}, CreatedAt: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEncoder("/s")
			err := e.appendBatch("t", []*relay.Event{{CreatedAt: someTime}, &bad})
			var batchErr *batchError
			require.ErrorAs(t, err, &batchErr)
			require.Same(t, &bad, batchErr.event)
			require.ErrorContains(t, err, "07000000-0000-0000-0000-000000000000 at position 7")
		})
	}
}

// genEvent draws an event, with JSON that is escaped now this way, now that.
func genEvent(t *rapid.T) *relay.Event {
	optional := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	e := &relay.Event{
		CreatedAt: time.UnixMicro(rapid.Int64Range(0, 4_000_000_000_000_000).Draw(t, "micros")),
		Type:      rapid.OneOf(rapid.Just(""), rapid.String()).Draw(t, "type"),
		Key:       optional.Draw(t, "key"),
		Payload:   optional.Draw(t, "payload"),
	}
	copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	if rapid.Bool().Draw(t, "has headers") {
		var object bytes.Buffer
		out := json.NewEncoder(&object)
		out.SetEscapeHTML(rapid.Bool().Draw(t, "escape"))
		if err := out.Encode(rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "headers")); err != nil {
			t.Fatal(err)
		}
		e.Headers = object.Bytes()
	}
	return e
}

func TestAnyEventsComeBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(genEvent), 1, 20).Draw(r, "events")
		source := rapid.StringN(1, -1, -1).Draw(r, "source")
		batch := encodeBatch(t, "orders", source, events)
		want := wanted(t, "orders", source, events)
		require.Equal(t, want, decodeFranz(t, batch))
		require.Equal(t, want, decodeKafkaGo(t, batch))
	})
}

func FuzzBatch(f *testing.F) {
	f.Add("type", []byte("key"), []byte("payload"), `header`, "value\n", int64(1_700_000_000_000_000), false)
	f.Fuzz(func(t *testing.T, eventType string, key, payload []byte, name, value string, micros int64, nulls bool) {
		if micros < 0 || micros > 200_000_000_000_000_000 {
			t.Skip("no year that RFC 3339 can write")
		}
		object, err := json.Marshal(map[string]string{name: value})
		require.NoError(t, err)
		e := &relay.Event{Type: eventType, Key: key, Payload: payload, Headers: object, CreatedAt: time.UnixMicro(micros)}
		if nulls {
			e.Key, e.Payload, e.Headers = nil, nil, nil
		}
		later := *e
		later.CreatedAt = someTime
		events := []*relay.Event{e, &later}
		require.Equal(t, wanted(t, "t", "/s", events), decodeFranz(t, encodeBatch(t, "t", "/s", events)))
	})
}

// goldenBatch was read back by both decoders when it was written down.
const goldenBatch = "0000000000000000" + "000000b8" + "ffffffff" + "02" + "ab988c33" + // offset, length, leader epoch, magic, CRC
	"0000" + "00000000" + "0000018bcfe56800" + "0000018bcfe56800" + // attributes, last offset delta, timestamps
	"ffffffffffffffff" + "ffff" + "ffffffff" + "00000001" + // producer id, its epoch, base sequence, count
	"8a02" + "00" + "00" + "00" + "026b" + "0276" + "0c" + // record: length, attributes, deltas, key, value, headers
	"1c63655f7370656376657273696f6e" + "06312e30" +
	"0a63655f6964" + "4830313030303030302d303030302d303030302d303030302d303030303030303030306666" +
	"1263655f736f75726365" + "042f73" +
	"0e63655f74797065" + "0274" +
	"0e63655f74696d65" + "36323032332d31312d31345432323a31333a32302e3030303030315a" +
	"0261" + "0262"
