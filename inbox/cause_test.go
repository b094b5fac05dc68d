package inbox_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/lineage"
)

func TestWithCause(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	const span = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
	header := func(pairs ...string) (hs []inbox.Header) {
		for i := 0; i < len(pairs); i += 2 {
			hs = append(hs, inbox.Header{Name: pairs[i], Value: []byte(pairs[i+1])})
		}
		return hs
	}
	for name, c := range map[string]struct {
		message inbox.Message
		want    lineage.Lineage
	}{
		"a first message": {
			inbox.Message{ID: "1", Headers: header("ce_id", "1")},
			lineage.Lineage{CausationID: "1", CorrelationID: "1"}},
		"a later one": {
			inbox.Message{ID: "2", Headers: header("ce_id", "2", "ce_correlationid", "0", "ce_causationid", "1", "traceparent", parent, "tracestate", "a=1")},
			lineage.Lineage{CausationID: "2", CorrelationID: "0", Traceparent: parent, Tracestate: "a=1"}},
		"deduplicated by a business key": {
			inbox.Message{ID: "payment-7", Headers: header("ce_id", "3")},
			lineage.Lineage{CausationID: "3", CorrelationID: "3"}},
		"not of Kafka": {inbox.Message{ID: "webhook-1"}, lineage.Lineage{CausationID: "webhook-1", CorrelationID: "webhook-1"}},
		"nothing":      {inbox.Message{}, lineage.Lineage{}},
		"rubbish": {
			inbox.Message{ID: "4", Headers: header("ce_correlationid", strings.Repeat("x", 2000), "traceparent", "00-\x00", "tracestate", "\xff")},
			lineage.Lineage{CausationID: "4"}},
	} {
		require.Equal(t, c.want, lineage.From(inbox.WithCause(context.Background(), c.message)), name)
	}
	ctx := inbox.WithTraceparent(inbox.WithCause(context.Background(), inbox.Message{ID: "1", Headers: header("traceparent", parent)}), span)
	require.Equal(t, lineage.Lineage{CausationID: "1", CorrelationID: "1", Traceparent: span}, lineage.From(ctx))
	require.Equal(t, ctx, inbox.WithTraceparent(ctx, "00-no-trace-01"))
}
