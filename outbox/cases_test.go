package outbox_test

import (
	"bytes"
	"strings"
	"time"

	"github.com/tandem-outbox/tandem/outbox"
)

// limitCase is an event that Go and SQL have to answer alike.
type limitCase struct {
	name  string
	event outbox.Event
	// field is what a refusal names; empty where the event is accepted.
	field string
	limit int
	// notInSQL tells that SQL cannot be given such a thing: a text that Postgres
	// has no form for, or both a payload and none.
	notInSQL bool
}

var (
	noon      = time.Date(2030, 2, 3, 12, 0, 0, 123_456_000, time.UTC)
	year10000 = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
)

var acceptedCases = []limitCase{
	{name: "topic alone", event: outbox.Event{Topic: "t"}},
	{name: "everything", event: outbox.Event{
		ID: "0190b6e2-1f3c-7a54-8b1e-3f6a5d2c9e10", Topic: "orders.eu-1_x", Key: "42", Type: "order.placed",
		Payload: []byte(`{"a": 1}`), Headers: map[string]string{"traceparent": "00-1-2-01", "content-type": "application/json"}, Partition: new(int32(3)),
	}},
	{name: "id in upper case", event: outbox.Event{ID: "0190B6E2-1F3C-7A54-8B1E-3F6A5D2C9E10", Topic: "t"}},
	{name: "id of version 4", event: outbox.Event{ID: "16fd2706-8baf-433b-82eb-8c7fada847da", Topic: "t"}},
	{name: "topic of 249", event: outbox.Event{Topic: strings.Repeat("t", 249)}},
	{name: "topic of three dots", event: outbox.Event{Topic: "..."}},
	{name: "type of 1000 bytes", event: outbox.Event{Topic: "t", Type: strings.Repeat("é", 500)}},
	{name: "partition 0", event: outbox.Event{Topic: "t", Partition: new(int32(0))}},
	{name: "greatest partition", event: outbox.Event{Topic: "t", Partition: new(int32(1<<31 - 1))}},
	{name: "empty payload", event: outbox.Event{Topic: "t", Payload: []byte{}}},
	{name: "tombstone", event: outbox.Event{Topic: "t", Key: "k", Tombstone: true}},
	{name: "tombstone with an empty payload", event: outbox.Event{Topic: "t", Tombstone: true, Payload: []byte{}}},
	{name: "bytes that are no text", event: outbox.Event{Topic: "t", Payload: []byte("\x00\xff\\x00\"{},NULL")}},
	{name: "awkward key", event: outbox.Event{Topic: "t", Key: "\\x\"{},' NULL\n\t"}},
	{name: "key NULL in letters", event: outbox.Event{Topic: "t", Key: "NULL", Type: "NULL"}},
	{name: "unicode", event: outbox.Event{Topic: "t", Key: "ключ🔑\u2028", Type: "тип", Headers: map[string]string{"имя <&>": "значение 🎁 \u2028<&>"}}},
	{name: "control characters in a header", event: outbox.Event{Topic: "t", Headers: map[string]string{"a\n\x01": "\x7f\r\n"}}},
	{name: "empty header value", event: outbox.Event{Topic: "t", Headers: map[string]string{"a": ""}}},
	{name: "no headers", event: outbox.Event{Topic: "t", Headers: map[string]string{}}},
	{name: "header ce without its underscore", event: outbox.Event{Topic: "t", Headers: map[string]string{"ce": "1", "ce-id": "2", "xce_id": "3"}}},
	{name: "causation and correlation", event: outbox.Event{Topic: "t", Headers: map[string]string{"ce_causationid": "платёж 7", "ce_correlationid": ""}}},
	{name: "900,000 bytes of payload", event: outbox.Event{Topic: "t", Payload: bytes.Repeat([]byte{0}, 900_000)}},
	{name: "900,000 bytes together", event: sized(900_000)},
	{name: "at most once", event: outbox.Event{Topic: "t", AtMostOnce: true}},
	{name: "scheduled", event: outbox.Event{Topic: "t", NotBefore: noon}},
	{name: "expiring", event: outbox.Event{Topic: "t", Expires: noon}},
	{name: "at most once, scheduled and expiring", event: outbox.Event{Topic: "t", Key: "k", AtMostOnce: true, NotBefore: noon, Expires: noon.Add(time.Microsecond)}},
	{name: "in another time zone", event: outbox.Event{Topic: "t", NotBefore: noon.In(time.FixedZone("", -12*3600)), Expires: noon.Add(time.Hour)}},
	{name: "expired long ago", event: outbox.Event{Topic: "t", Expires: time.Unix(0, 0)}},
	{name: "the first time there is", event: outbox.Event{Topic: "t", NotBefore: time.Time{}.Add(time.Microsecond)}},
	{name: "the last time there is", event: outbox.Event{Topic: "t", Expires: year10000.Add(-time.Microsecond)}},
}

var refusedCases = []limitCase{
	{name: "no topic", event: outbox.Event{}, field: "topic"},
	{name: "topic of 250", event: outbox.Event{Topic: strings.Repeat("t", 250)}, field: "topic", limit: 249},
	{name: "topic of 250 characters in 500 bytes", event: outbox.Event{Topic: strings.Repeat("é", 250)}, field: "topic", limit: 249},
	{name: "topic of 249 characters that are not allowed", event: outbox.Event{Topic: strings.Repeat("é", 249)}, field: "topic"},
	{name: "topic dot", event: outbox.Event{Topic: "."}, field: "topic"},
	{name: "topic two dots", event: outbox.Event{Topic: ".."}, field: "topic"},
	{name: "topic with a space", event: outbox.Event{Topic: "a b"}, field: "topic"},
	{name: "topic with a line end", event: outbox.Event{Topic: "a\n"}, field: "topic"},
	{name: "topic with a slash", event: outbox.Event{Topic: "a/b"}, field: "topic"},
	{name: "topic with a zero byte", event: outbox.Event{Topic: "a\x00"}, field: "topic", notInSQL: true},
	{name: "topic not UTF-8", event: outbox.Event{Topic: "a\xff"}, field: "topic", notInSQL: true},
	{name: "type of 1001 bytes", event: outbox.Event{Topic: "t", Type: strings.Repeat("é", 500) + "x"}, field: "type", limit: 1000},
	{name: "type with a zero byte", event: outbox.Event{Topic: "t", Type: "\x00"}, field: "type", notInSQL: true},
	{name: "type not UTF-8", event: outbox.Event{Topic: "t", Type: "\xc3"}, field: "type", notInSQL: true},
	{name: "partition below 0", event: outbox.Event{Topic: "t", Partition: new(int32(-1))}, field: "partition"},
	{name: "key with a zero byte", event: outbox.Event{Topic: "t", Key: "a\x00b"}, field: "key", notInSQL: true},
	{name: "key not UTF-8", event: outbox.Event{Topic: "t", Key: "\xed\xa0\x80"}, field: "key", notInSQL: true},
	{name: "header without a name", event: outbox.Event{Topic: "t", Headers: map[string]string{"": "x"}}, field: "headers"},
	{name: "header ce_id", event: outbox.Event{Topic: "t", Headers: map[string]string{"ce_id": "x"}}, field: "headers"},
	{name: "header CE_", event: outbox.Event{Topic: "t", Headers: map[string]string{"CE_": "x"}}, field: "headers"},
	{name: "header ce_CausationID", event: outbox.Event{Topic: "t", Headers: map[string]string{"ce_CausationID": "x"}}, field: "headers"},
	{name: "header ce_causationid2", event: outbox.Event{Topic: "t", Headers: map[string]string{"ce_causationid2": "x"}}, field: "headers"},
	{name: "header name with a zero byte", event: outbox.Event{Topic: "t", Headers: map[string]string{"a\x00": "x"}}, field: "headers", notInSQL: true},
	{name: "header value with a zero byte", event: outbox.Event{Topic: "t", Headers: map[string]string{"a": "\x00"}}, field: "headers", notInSQL: true},
	{name: "header name not UTF-8", event: outbox.Event{Topic: "t", Headers: map[string]string{"a\xff": "x"}}, field: "headers", notInSQL: true},
	{name: "header value not UTF-8", event: outbox.Event{Topic: "t", Headers: map[string]string{"a": "\xff"}}, field: "headers", notInSQL: true},
	{name: "tombstone with a payload", event: outbox.Event{Topic: "t", Tombstone: true, Payload: []byte("x")}, field: "payload", notInSQL: true},
	{name: "id that is none", event: outbox.Event{ID: "42", Topic: "t"}, field: "id", notInSQL: true},
	{name: "id in braces", event: outbox.Event{ID: "{0190b6e2-1f3c-7a54-8b1e-3f6a5d2c9e10}", Topic: "t"}, field: "id", notInSQL: true},
	{name: "id without hyphens", event: outbox.Event{ID: "0190b6e21f3c7a548b1e3f6a5d2c9e10", Topic: "t"}, field: "id", notInSQL: true},
	{name: "id as a URN", event: outbox.Event{ID: "urn:uuid:0190b6e2-1f3c-7a54-8b1e-3f6a5d2c9e10", Topic: "t"}, field: "id", notInSQL: true},
	{name: "900,001 bytes of payload", event: outbox.Event{Topic: "t", Payload: make([]byte, 900_001)}, field: "payload", limit: 900_000},
	{name: "900,001 bytes together", event: sized(900_001), field: "payload", limit: 900_000},
	{name: "900,001 bytes of key", event: outbox.Event{Topic: "t", Key: strings.Repeat("k", 900_001), Tombstone: true}, field: "payload", limit: 900_000},
	{name: "not_before in year 10000", event: outbox.Event{Topic: "t", NotBefore: year10000}, field: "not_before"},
	{name: "not_before in year 0", event: outbox.Event{Topic: "t", NotBefore: time.Time{}.Add(-time.Microsecond)}, field: "not_before"},
	{name: "not_before a nanosecond into year 1", event: outbox.Event{Topic: "t", NotBefore: time.Time{}.Add(1)}, field: "not_before", notInSQL: true},
	{name: "not_before that timestamptz cannot hold", event: outbox.Event{Topic: "t", NotBefore: time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)}, field: "not_before", notInSQL: true},
	{name: "expires in year 10000", event: outbox.Event{Topic: "t", Expires: year10000}, field: "expires"},
	{name: "expires before year 1", event: outbox.Event{Topic: "t", Expires: time.Date(-4000, 1, 1, 0, 0, 0, 0, time.UTC)}, field: "expires"},
	{name: "expires that timestamptz cannot hold", event: outbox.Event{Topic: "t", Expires: time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC)}, field: "expires", notInSQL: true},
	{name: "expires before it is due", event: outbox.Event{Topic: "t", NotBefore: noon, Expires: noon.Add(-time.Hour)}, field: "expires"},
	{name: "expires when it is due", event: outbox.Event{Topic: "t", NotBefore: noon, Expires: noon}, field: "expires"},
	{name: "expires within the microsecond in which it is due", event: outbox.Event{Topic: "t", NotBefore: noon, Expires: noon.Add(999)}, field: "expires"},
	{name: "the times come before the headers", event: outbox.Event{Topic: "t", NotBefore: year10000, Headers: map[string]string{"": ""}}, field: "not_before"},
	{name: "the partition comes before the times", event: outbox.Event{Topic: "t", NotBefore: year10000, Partition: new(int32(-1))}, field: "partition"},
	{name: "the topic comes before the rest", event: outbox.Event{Topic: "", Type: strings.Repeat("x", 1001), Partition: new(int32(-1))}, field: "topic"},
	{name: "the headers come before the size", event: outbox.Event{Topic: "t", Headers: map[string]string{"ce_x": ""}, Payload: make([]byte, 900_001)}, field: "headers"},
}

// sized has n bytes in key, header name, header value and payload, some of them
// in characters of more than one byte.
func sized(n int) outbox.Event {
	e := outbox.Event{Topic: "t", Key: strings.Repeat("ü", 1000), Headers: map[string]string{"größe": strings.Repeat("€", 1000)}}
	e.Payload = make([]byte, n-2000-len("größe")-3000)
	return e
}
