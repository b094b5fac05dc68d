package relaykafka

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/tandem-outbox/tandem/relay"
)

// benchEvents are n events with a payload of 200 bytes.
func benchEvents(n int, headers string) []*relay.Event {
	payload := bytes.Repeat([]byte("x"), 200)
	at := time.Now()
	events := make([]*relay.Event, n)
	for i := range events {
		events[i] = &relay.Event{
			Position: int64(i), ID: [16]byte{1, 2, 3, byte(i)}, CreatedAt: at.Add(time.Duration(i) * 50 * time.Microsecond),
			Key: fmt.Appendf(nil, "customer-%d", i), Type: "order.placed", Payload: payload,
		}
		if headers != "" {
			events[i].Headers = []byte(headers)
		}
	}
	return events
}

// BenchmarkEncode is what a batch costs before it is written to the socket.
func BenchmarkEncode(b *testing.B) {
	for name, headers := range map[string]string{
		"envelope":          "",
		"content-type":      `{"content-type": "application/json"}`,
		"type+trace":        `{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "content-type": "application/json"}`,
		"type+trace+escape": `{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "note": "a \"quoted\" word"}`,
	} {
		b.Run(name, func(b *testing.B) {
			events := benchEvents(1000, headers)
			e := newEncoder("/tandem/shop")
			b.ReportAllocs()
			for b.Loop() {
				e.buf = e.buf[:0]
				if err := e.appendBatch("orders", events); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(e.buf)))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
		})
	}
}
