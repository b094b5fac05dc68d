package inbox

import (
	"cmp"
	"context"

	"github.com/tandem-outbox/tandem/internal/lineage"
)

// WithCause returns a context for handling m. Events that are added with it, by
// package outbox or outboxsql, tell what they come from unless they say so
// themselves: header ce_causationid is the id of m, ce_correlationid is m's own
// or, where m begins something, the id of m; traceparent and tracestate are m's.
//
// The runner for Kafka does this for every message. A [BatchHandler], and who
// calls [Once], does it for those messages that events come from.
//
// What of m cannot be a header is left out: an id of more than 1,000 bytes or
// with control characters, a traceparent that is none.
func WithCause(ctx context.Context, m Message) context.Context {
	id := cmp.Or(m.Header("ce_id"), m.ID) // m.ID may be a business key
	return lineage.With(ctx, lineage.Lineage{
		CausationID:   id,
		CorrelationID: cmp.Or(m.Header(lineage.CorrelationHeader), id),
		Traceparent:   m.Header(lineage.TraceparentHeader),
		Tracestate:    m.Header(lineage.TracestateHeader),
	})
}

// WithTraceparent returns a context whose events continue another span of the
// trace than the message's, as tracing hooks need it: the one that handles the
// message. A text that is no W3C traceparent changes nothing.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return lineage.Traced(ctx, traceparent)
}
