// Package lineage carries through a context what a handler's events come from:
// package inbox puts it there for a message, package outbox adds it to the
// events that are written with that context. Neither has to know the other.
package lineage

import (
	"context"
	"maps"
	"strings"
	"unicode/utf8"
)

// The headers by which a lineage travels. The first two are CloudEvents
// attributes in Kafka's binary mode.
const (
	CausationHeader   = "ce_causationid"
	CorrelationHeader = "ce_correlationid"
	TraceparentHeader = "traceparent"
	TracestateHeader  = "tracestate"
)

// Greatest lengths, in bytes.
const (
	idMax         = 1000 // what the inbox takes for an id
	traceparentV0 = 55
	traceparent   = 200 // of later versions, which may append to it
	tracestateMax = 512 // what W3C asks everybody to pass on
)

// Lineage is where events come from. Empty is: not known.
type Lineage struct {
	CausationID   string // of the message that was handled
	CorrelationID string // of what began it all
	Traceparent   string // W3C trace context
	Tracestate    string // belongs to Traceparent
}

type key struct{}

// With returns a context for what l leads to. What of l cannot be a header is
// left out: it came from outside, and must not fail whoever writes an event.
func With(ctx context.Context, l Lineage) context.Context {
	if !isID(l.CausationID) {
		l.CausationID = ""
	}
	if !isID(l.CorrelationID) {
		l.CorrelationID = ""
	}
	if !isTraceparent(l.Traceparent) {
		l.Traceparent = ""
	}
	if l.Traceparent == "" || len(l.Tracestate) > tracestateMax || !isPrintable(l.Tracestate) {
		l.Tracestate = ""
	}
	return context.WithValue(ctx, key{}, l)
}

// From returns the lineage of what is done with ctx, each part of it fit to be a
// header; nothing where nobody has given one.
func From(ctx context.Context) Lineage {
	l, _ := ctx.Value(key{}).(Lineage)
	return l
}

// Traced returns a context in which the traceparent is another: of a span that
// the handling of a message has. One that is none changes nothing. The
// tracestate stays if the trace is the same.
func Traced(ctx context.Context, traceparent string) context.Context {
	if !isTraceparent(traceparent) {
		return ctx
	}
	l := From(ctx)
	if l.Traceparent == "" || traceID(l.Traceparent) != traceID(traceparent) {
		l.Tracestate = ""
	}
	l.Traceparent = traceparent
	return With(ctx, l)
}

// Complete returns the headers of an event of this lineage: its own, and those
// of l that it does not bring itself. A tracestate goes with the traceparent that
// it belongs to. The map given is not changed.
func (l Lineage) Complete(own map[string]string) map[string]string {
	if l == (Lineage{}) {
		return own
	}
	all := make(map[string]string, len(own)+4)
	maps.Copy(all, own)
	add := func(name, value string) {
		if _, there := own[name]; !there && value != "" {
			all[name] = value
		}
	}
	add(CausationHeader, l.CausationID)
	add(CorrelationHeader, l.CorrelationID)
	add(TraceparentHeader, l.Traceparent)
	if all[TraceparentHeader] == l.Traceparent {
		add(TracestateHeader, l.Tracestate)
	}
	return all
}

// isID tells whether s can be an attribute: Postgres has to keep it as text, and
// people have to read it on one line.
func isID(s string) bool {
	return s != "" && len(s) <= idMax && utf8.ValidString(s) &&
		strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// isTraceparent knows version 00 of W3C's trace context exactly, and of later
// ones what they promise: that it is their beginning.
func isTraceparent(s string) bool {
	if len(s) < traceparentV0 || len(s) > traceparent || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, parent, flags := s[:2], traceID(s), s[36:52], s[53:traceparentV0]
	if !isHex(version) || !isHex(trace) || !isHex(parent) || !isHex(flags) || version == "ff" {
		return false
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return false
	}
	more := s[traceparentV0:]
	return more == "" || (version != "00" && more[0] == '-' && isPrintable(more))
}

func traceID(traceparent string) string { return traceparent[3:35] }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

func isPrintable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
