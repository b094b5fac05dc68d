package inboxotel_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/inboxotel"
	"github.com/tandem-outbox/tandem/internal/lineage"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	sampled = "00-" + traceID + "-" + spanID + "-01"
	dropped = "00-" + traceID + "-" + spanID + "-00"
)

// tracing are hooks and where their spans end up.
func tracing(t *testing.T) (*tracetest.InMemoryExporter, inboxkafka.Hooks) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	hooks, err := inboxotel.Hooks(inboxkafka.Config{Consumer: "billing", Topics: []string{"orders"}},
		sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)), nil)
	require.NoError(t, err)
	return exporter, hooks
}

func message(id string, headers ...string) inbox.Message {
	m := inbox.Message{ID: id, Topic: "orders", Partition: 3, Offset: 7, Key: []byte("customer-7"), Value: []byte("12345"), Attempt: 1}
	for i := 0; i < len(headers); i += 2 {
		m.Headers = append(m.Headers, inbox.Header{Name: headers[i], Value: []byte(headers[i+1])})
	}
	return m
}

func TestASpanBelowTheWriters(t *testing.T) {
	t.Parallel()
	exporter, hooks := tracing(t)
	m := message("id-1", "traceparent", sampled, "tracestate", "vendor=x")
	ctx, done := hooks.Handling(inbox.WithCause(t.Context(), m), []inbox.Message{m})
	done(nil)
	require.Len(t, exporter.GetSpans(), 1)
	span := exporter.GetSpans()[0]
	require.Equal(t, "process orders", span.Name)
	require.Equal(t, trace.SpanKindConsumer, span.SpanKind)
	require.Equal(t, traceID, span.SpanContext.TraceID().String())
	require.Equal(t, spanID, span.Parent.SpanID().String())
	require.True(t, span.Parent.IsRemote())
	require.Equal(t, "vendor=x", span.SpanContext.TraceState().String())
	require.Equal(t, codes.Unset, span.Status.Code)
	require.ElementsMatch(t, []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.destination.name", "orders"),
		attribute.String("messaging.destination.partition.id", "3"),
		attribute.String("messaging.consumer.group.name", "billing"),
		attribute.String("messaging.message.id", "id-1"),
		attribute.Int("messaging.kafka.offset", 7),
		attribute.Int("messaging.message.body.size", 5),
	}, span.Attributes)

	l := lineage.From(ctx)
	require.Equal(t, "00-"+traceID+"-"+span.SpanContext.SpanID().String()+"-01", l.Traceparent)
	require.Equal(t, "vendor=x", l.Tracestate)
	require.Equal(t, "id-1", l.CausationID)
	require.Equal(t, span.SpanContext.SpanID(), trace.SpanContextFromContext(ctx).SpanID(), "spans of the handler are below")
}

func TestWithoutATraceOneBegins(t *testing.T) {
	t.Parallel()
	exporter, hooks := tracing(t)
	for _, headers := range [][]string{nil, {"traceparent", "nonsense"}, {"traceparent", ""}, {"traceparent", "00-00000000000000000000000000000000-" + spanID + "-01"}} {
		exporter.Reset()
		m := message("1", headers...)
		ctx, done := hooks.Handling(inbox.WithCause(t.Context(), m), []inbox.Message{m})
		done(nil)
		require.Len(t, exporter.GetSpans(), 1)
		span := exporter.GetSpans()[0]
		require.False(t, span.Parent.IsValid())
		require.Contains(t, lineage.From(ctx).Traceparent, span.SpanContext.TraceID().String())
	}
}

// What is not recorded stays so downstream, in the same trace.
func TestATraceThatIsNotSampledIsContinuedUnrecorded(t *testing.T) {
	t.Parallel()
	exporter, hooks := tracing(t)
	m := message("1", "traceparent", dropped)
	ctx, done := hooks.Handling(inbox.WithCause(t.Context(), m), []inbox.Message{m})
	done(nil)
	require.Empty(t, exporter.GetSpans())
	require.Regexp(t, "^00-"+traceID+"-[0-9a-f]{16}-00$", lineage.From(ctx).Traceparent)
}

// Without a tracer provider the message's own trace goes on.
func TestWithoutProvidersTheTraceGoesOn(t *testing.T) {
	t.Parallel()
	hooks, err := inboxotel.Hooks(inboxkafka.Config{Consumer: "billing", Topics: []string{"orders"}}, nil, nil)
	require.NoError(t, err)
	require.NoError(t, inboxotel.Observe(nil, nil))
	for _, headers := range [][]string{{"traceparent", sampled, "tracestate", "vendor=x"}, nil} {
		m := message("1", headers...)
		before := inbox.WithCause(t.Context(), m)
		ctx, done := hooks.Handling(before, []inbox.Message{m})
		done(nil)
		hooks.Committed(inboxkafka.Batch{Topic: "orders"})
		require.Equal(t, lineage.From(before), lineage.From(ctx))
	}
}

func TestABatchHasASpanWithLinks(t *testing.T) {
	t.Parallel()
	exporter, hooks := tracing(t)
	other := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx, done := hooks.Handling(t.Context(), []inbox.Message{message("1", "traceparent", sampled), message("2"), message("3", "traceparent", other)})
	done(nil)
	require.Len(t, exporter.GetSpans(), 1)
	span := exporter.GetSpans()[0]
	require.False(t, span.Parent.IsValid())
	require.Contains(t, span.Attributes, attribute.Int("messaging.batch.message_count", 3))
	require.Len(t, span.Links, 2)
	require.Equal(t, spanID, span.Links[0].SpanContext.SpanID().String())
	require.Contains(t, span.Links[0].Attributes, attribute.String("messaging.message.id", "1"))
	require.Equal(t, "b7ad6b7169203331", span.Links[1].SpanContext.SpanID().String())
	require.Contains(t, lineage.From(ctx).Traceparent, span.SpanContext.SpanID().String())
}

// With a whole consumer: what failed and why, and which attempt it was.
func TestTheStatusOfWhatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config()
	config.MaxAttempts = 2
	var err error
	config.Hooks, err = inboxotel.Hooks(config, w.tracers, nil)
	require.NoError(t, err)
	var calls atomic.Int32
	consumer, err := inboxkafka.NewConsumer(config, w.pool, func(_ context.Context, _ pgx.Tx, m inbox.Message) error {
		calls.Add(1)
		switch string(m.Value) {
		case "fails":
			return errors.New("card refused")
		case "panics":
			panic("at the disco")
		case "parks":
			return inbox.ParkAs("fraud", errors.New("stolen card"))
		case "skips":
			return inbox.Skip("of no interest")
		}
		return nil
	})
	require.NoError(t, err)
	values := []string{"fine", "fails", "panics", "parks", "skips"}
	for _, v := range values {
		w.send(v)
	}
	w.run(consumer)
	w.eventually(func() bool {
		s := consumer.Stats()
		return s.Handled == 1 && s.Parked == 3 && s.Skipped == 1
	})
	spans := w.await(int(calls.Load()))
	type told struct {
		status      codes.Code
		why, reason string
		attempt     int64
	}
	found := map[told]bool{}
	for _, s := range spans {
		require.Equal(t, "process orders", s.Name)
		one := told{status: s.Status.Code, why: s.Status.Description}
		for _, a := range s.Attributes {
			switch a.Key {
			case "error.type":
				one.reason = a.Value.AsString()
			case "tandem.inbox.attempt":
				one.attempt = a.Value.AsInt64()
			case "messaging.consumer.group.name":
				require.Equal(t, "accounts", a.Value.AsString())
			}
		}
		found[one] = true
	}
	require.Equal(t, map[told]bool{
		{}: true, // the one that is fine, and the one that is skipped
		{codes.Error, "card refused", "handler", 0}:       true,
		{codes.Error, "card refused", "handler", 2}:       true,
		{codes.Error, "the handler panicked", "panic", 0}: true,
		{codes.Error, "the handler panicked", "panic", 2}: true,
		{codes.Error, "stolen card", "fraud", 0}:          true,
	}, found)
}
