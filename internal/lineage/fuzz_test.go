package lineage_test

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/lineage"
)

// FuzzLineage: of what comes from outside only that is carried on which can be a
// header and a text of Postgres's, and that as it came.
func FuzzLineage(f *testing.F) {
	f.Add("1", "0", parent, "a=1", child)
	f.Add("", "\x00", "01"+parent[2:]+"-x", strings.Repeat("x", 513), other)
	f.Add("a\xff", strings.Repeat("é", 501), strings.ToUpper(parent), "a=\n", "00-")
	f.Fuzz(func(t *testing.T, causation, correlation, traceparent, tracestate, own string) {
		given := lineage.Lineage{CausationID: causation, CorrelationID: correlation, Traceparent: traceparent, Tracestate: tracestate}
		ctx := lineage.With(context.Background(), given)
		got := lineage.From(ctx)
		for _, part := range []struct {
			given, got string
			limit      int
		}{
			{causation, got.CausationID, 1000}, {correlation, got.CorrelationID, 1000}, {traceparent, got.Traceparent, 200}, {tracestate, got.Tracestate, 512},
		} {
			require.True(t, part.got == "" || part.got == part.given)
			require.LessOrEqual(t, len(part.got), part.limit)
			require.True(t, utf8.ValidString(part.got))
			require.False(t, strings.ContainsAny(part.got, "\x00\r\n"))
		}
		require.False(t, got.Tracestate != "" && got.Traceparent == "")
		require.Equal(t, got, lineage.From(lineage.With(context.Background(), got)), "what is fit stays so")

		traced := lineage.From(lineage.Traced(ctx, own))
		require.Equal(t, got.CausationID+got.CorrelationID, traced.CausationID+traced.CorrelationID)
		require.True(t, traced.Traceparent == own || traced == got)

		headers := got.Complete(map[string]string{lineage.TraceparentHeader: own})
		require.Equal(t, own, headers[lineage.TraceparentHeader])
		if own != got.Traceparent {
			require.NotContains(t, headers, lineage.TracestateHeader)
		}
	})
}
