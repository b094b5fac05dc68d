package lineage_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/lineage"
)

const (
	parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	child  = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
	other  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

func TestTraceparents(t *testing.T) {
	for traceparent, valid := range map[string]bool{
		parent:                            true,
		parent[:53] + "00":                true,
		"01" + parent[2:]:                 true,
		"01" + parent[2:] + "-what comes": true,
		"01" + parent[2:] + "x":           false,
		"01" + parent[2:] + "-\n":         false,
		"01" + parent[2:] + "-" + strings.Repeat("x", 200): false,
		parent + "-x":                 false, // version 00 ends here
		parent[:54]:                   false,
		"":                            false,
		"ff" + parent[2:]:             false,
		strings.ToUpper(parent):       false,
		parent[:54] + "\x00":          false,
		parent[:2] + "_" + parent[3:]: false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
	} {
		got := lineage.From(lineage.With(context.Background(), lineage.Lineage{Traceparent: traceparent, Tracestate: "a=1"}))
		want := lineage.Lineage{}
		if valid {
			want = lineage.Lineage{Traceparent: traceparent, Tracestate: "a=1"}
		}
		require.Equal(t, want, got, "%q", traceparent)
	}
}

func TestIDs(t *testing.T) {
	for id, valid := range map[string]bool{
		"a":                       true,
		"платёж 7":                true,
		strings.Repeat("x", 1000): true,
		strings.Repeat("x", 1001): false,
		"":                        false,
		"a\x00":                   false,
		"a\nb":                    false,
		"a\xff":                   false,
	} {
		got := lineage.From(lineage.With(context.Background(), lineage.Lineage{CausationID: id, CorrelationID: id}))
		want := lineage.Lineage{}
		if valid {
			want = lineage.Lineage{CausationID: id, CorrelationID: id}
		}
		require.Equal(t, want, got, "%q", id)
	}
}

func TestTracestates(t *testing.T) {
	for tracestate, valid := range map[string]bool{
		"a=1,b=2":                true,
		strings.Repeat("x", 512): true,
		strings.Repeat("x", 513): false,
		"a=\x00":                 false,
		"a=é":                    false,
	} {
		got := lineage.From(lineage.With(context.Background(), lineage.Lineage{Traceparent: parent, Tracestate: tracestate}))
		require.Equal(t, valid, got.Tracestate == tracestate, "%q", tracestate)
	}
}

func TestTraced(t *testing.T) {
	ctx := lineage.With(context.Background(), lineage.Lineage{CausationID: "1", Traceparent: parent, Tracestate: "a=1"})
	require.Equal(t, lineage.Lineage{CausationID: "1", Traceparent: child, Tracestate: "a=1"}, lineage.From(lineage.Traced(ctx, child)))
	require.Equal(t, lineage.Lineage{CausationID: "1", Traceparent: other}, lineage.From(lineage.Traced(ctx, other)))
	require.Equal(t, lineage.From(ctx), lineage.From(lineage.Traced(ctx, "none")))
	require.Equal(t, lineage.Lineage{Traceparent: child}, lineage.From(lineage.Traced(context.Background(), child)))
	require.Zero(t, lineage.From(context.Background()))
}

func TestComplete(t *testing.T) {
	l := lineage.Lineage{CausationID: "1", CorrelationID: "0", Traceparent: parent, Tracestate: "a=1"}
	for name, c := range map[string]struct{ own, want map[string]string }{
		"none": {nil, map[string]string{
			"ce_causationid": "1", "ce_correlationid": "0", "traceparent": parent, "tracestate": "a=1"}},
		"its own win": {map[string]string{"ce_causationid": "7", "ce_correlationid": "", "x": "y"}, map[string]string{
			"ce_causationid": "7", "ce_correlationid": "", "x": "y", "traceparent": parent, "tracestate": "a=1"}},
		"a trace of its own has no tracestate of ours": {map[string]string{"traceparent": other}, map[string]string{
			"ce_causationid": "1", "ce_correlationid": "0", "traceparent": other}},
		"a tracestate of its own": {map[string]string{"tracestate": "b=2"}, map[string]string{
			"ce_causationid": "1", "ce_correlationid": "0", "traceparent": parent, "tracestate": "b=2"}},
	} {
		before := maps.Clone(c.own)
		require.Equal(t, c.want, l.Complete(c.own), name)
		require.Equal(t, before, c.own, name)
	}
	require.Nil(t, lineage.Lineage{}.Complete(nil))
}
