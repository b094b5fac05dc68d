package inboxotel

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

const scope = "github.com/tandem-outbox/tandem/inbox/inboxotel"

// Hooks are for the Hooks of the Config that they are made of, of which they take
// the names. A provider that is nil leaves out the spans or the measurements. An
// error is the meter provider's.
func Hooks(config inboxkafka.Config, tracers trace.TracerProvider, meters metric.MeterProvider) (inboxkafka.Hooks, error) {
	if tracers == nil {
		tracers = tracenoop.NewTracerProvider()
	}
	if meters == nil {
		meters = metricnoop.NewMeterProvider()
	}
	measures, err := newMeasures(meters.Meter(scope), config)
	if err != nil {
		return inboxkafka.Hooks{}, fmt.Errorf("inboxotel: make the instruments of consumer %q: %w", config.Consumer, err)
	}
	t := tracing{
		tracer: tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		group:  cmp.Or(config.GroupID, config.Consumer),
	}
	return inboxkafka.Hooks{
		Handling: func(ctx context.Context, messages []inbox.Message) (context.Context, func(error)) {
			ctx, span := t.begin(ctx, messages)
			started := time.Now()
			return ctx, func(err error) {
				measures.handled(ctx, messages[0].Topic, time.Since(started))
				end(span, err)
			}
		},
		Committed: measures.committed,
	}, nil
}
