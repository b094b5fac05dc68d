package inboxotel_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/inboxotel"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
	"github.com/tandem-outbox/tandem/relay/relayotel"
)

// relay publishes all that there is.
func (w *world) relay() {
	w.Helper()
	database, err := pgx.ParseConfig(w.address)
	require.NoError(w, err)
	publisher, err := relaykafka.New(relaykafka.Config{Brokers: w.cluster.ListenAddrs(), Source: "/tandem/shop"})
	require.NoError(w, err)
	defer publisher.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(w, relay.Run(ctx, relay.Config{Database: database, Publisher: publisher, Hooks: relayotel.Hooks(w.tracers), UntilEmpty: true, Logger: slog.New(slog.DiscardHandler)}))
}

// From a service through the relay to a consumer, and through what its handler
// adds to another handler: one trace, each span below the one that it comes from.
func TestOneTraceFromEndToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config()
	var err error
	config.Hooks, err = inboxotel.Hooks(config, w.tracers, nil)
	require.NoError(t, err)
	tracer := w.tracers.Tracer("service")
	consumer, err := inboxkafka.NewConsumer(config, w.pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if m.Topic == "bills" {
			return nil
		}
		ctx, span := tracer.Start(ctx, "look up prices") // as an instrumented client does
		defer span.End()
		return outbox.Add(ctx, tx, outbox.Event{Topic: "bills", Key: "k", Payload: []byte("{}")})
	})
	require.NoError(t, err)
	w.run(consumer)

	ctx, writer := tracer.Start(t.Context(), "place order")
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	require.NoError(t, pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		return outbox.Add(ctx, tx, outbox.Event{Topic: "orders", Key: "k", Payload: []byte("{}"), Headers: carrier})
	}))
	writer.End()
	w.relay()
	w.await(4)
	w.eventually(func() bool { return consumer.Stats().Handled == 1 })
	w.relay()
	spans := w.await(6)
	named := map[string]tracetest.SpanStub{}
	for _, s := range spans {
		named[s.Name] = s
		require.Equal(t, writer.SpanContext().TraceID(), s.SpanContext.TraceID(), s.Name)
	}
	for child, parent := range map[string]string{
		"send orders": "place order", "process orders": "place order", "look up prices": "process orders",
		"send bills": "process orders", "process bills": "process orders",
	} {
		require.Equal(t, named[parent].SpanContext.SpanID(), named[child].Parent.SpanID(), "%s below %s", child, parent)
	}
	require.Equal(t, trace.SpanKindConsumer, named["process bills"].SpanKind)
	require.True(t, named["process bills"].Parent.IsRemote())
}
