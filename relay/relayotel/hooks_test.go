package relayotel_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relayotel"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func tracing() (*tracetest.InMemoryExporter, relay.Hooks) {
	exporter := tracetest.NewInMemoryExporter()
	return exporter, relayotel.Hooks(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)))
}

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	sampled = `{"tenant": "7", "traceparent": "00-` + traceID + `-` + spanID + `-01", "tracestate": "vendor=x"}`
)

func TestTheWritersTraceIsContinued(t *testing.T) {
	t.Parallel()
	exporter, hooks := tracing()
	event := &relay.Event{ID: [16]byte{1}, Topic: "orders", Key: []byte("customer-7"), Headers: []byte(sampled), Payload: []byte("12345")}
	before := time.Now()
	hooks.Acknowledged("orders", 3, []*relay.Event{event}, time.Minute)
	require.Len(t, exporter.GetSpans(), 1)
	span := exporter.GetSpans()[0]
	require.Equal(t, "send orders", span.Name)
	require.Equal(t, trace.SpanKindProducer, span.SpanKind)
	require.Equal(t, traceID, span.SpanContext.TraceID().String())
	require.Equal(t, spanID, span.Parent.SpanID().String())
	require.True(t, span.Parent.IsRemote())
	require.Equal(t, "vendor=x", span.SpanContext.TraceState().String())
	require.Equal(t, time.Minute, span.EndTime.Sub(span.StartTime))
	require.False(t, span.EndTime.Before(before))
	require.ElementsMatch(t, []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.operation.name", "send"),
		attribute.String("messaging.destination.name", "orders"),
		attribute.String("messaging.destination.partition.id", "3"),
		attribute.String("messaging.message.id", "01000000-0000-0000-0000-000000000000"),
		attribute.Int("messaging.message.body.size", 5),
	}, span.Attributes)
	require.Equal(t, sampled, string(event.Headers), "the record's headers stay as they are")
}

func TestNoSpanWithoutASampledTrace(t *testing.T) {
	t.Parallel()
	exporter, hooks := tracing()
	for _, headers := range []string{
		``, `{}`, `{"tenant": "7"}`,
		`{"traceparent": "00-` + traceID + `-` + spanID + `-00"}`,
		`{"traceparent": "nonsense"}`, `{"traceparent": ""}`, `{"other": "\"traceparent\""}`, `"traceparent"`,
		`{"traceparent": "00-00000000000000000000000000000000-` + spanID + `-01"}`,
	} {
		hooks.Acknowledged("orders", 0, []*relay.Event{{Headers: []byte(headers)}}, 0)
	}
	require.Empty(t, exporter.GetSpans())
}

func TestAnEventWithoutATraceCostsNothing(t *testing.T) {
	_, hooks := tracing()
	events := []*relay.Event{{Headers: []byte(`{"tenant": "7"}`)}, {}}
	require.Zero(t, testing.AllocsPerRun(100, func() { hooks.Acknowledged("orders", 0, events, 0) }))
}

// With a whole relay, whose broker is away at first: the span lasts from the
// first attempt on.
func TestASpanLastsThroughRetries(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig(testservers.Migrated(t))
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), `SELECT tandem.add('orders', 'x'::text, key => 'k', headers => $1)`, sampled)
	require.NoError(t, err)
	exporter, hooks := tracing()
	p := &failing{times: 3}
	require.NoError(t, relay.Run(t.Context(), relay.Config{Database: config, Publisher: p, Hooks: hooks, UntilEmpty: true}))
	require.Len(t, exporter.GetSpans(), 1)
	span := exporter.GetSpans()[0]
	require.Equal(t, spanID, span.Parent.SpanID().String())
	require.GreaterOrEqual(t, span.EndTime.Sub(span.StartTime), p.last.Sub(p.first), "from the first attempt to the last")
	require.False(t, span.EndTime.Before(p.last))
}

// failing fails so many times. The relay has one lane, so one call at a time.
type failing struct {
	times       int
	first, last time.Time
}

func (f *failing) Partitions(context.Context, string) (int, error) { return 1, nil }

func (f *failing) Publish(context.Context, string, int, []*relay.Event) error {
	f.last = time.Now()
	if f.first.IsZero() {
		f.first = f.last
	}
	if f.times--; f.times >= 0 {
		return context.DeadlineExceeded
	}
	return nil
}
