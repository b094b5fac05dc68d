package inboxotel

import (
	"cmp"
	"context"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

type tracing struct {
	tracer trace.Tracer
	group  string
}

// begin starts the span of a handler's call. What is added to an outbox with the
// context that it returns continues that span.
func (t tracing) begin(ctx context.Context, messages []inbox.Message) (context.Context, trace.Span) {
	m := &messages[0]
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			semconv.MessagingSystemKafka,
			semconv.MessagingOperationTypeProcess,
			semconv.MessagingOperationName("process"),
			semconv.MessagingDestinationName(m.Topic),
			semconv.MessagingDestinationPartitionID(strconv.Itoa(m.Partition)),
			semconv.MessagingConsumerGroupName(t.group),
		),
	}
	if len(messages) == 1 {
		ctx = trace.ContextWithRemoteSpanContext(ctx, writersSpan(m))
		options = append(options, trace.WithAttributes(ofMessage(m)...))
	} else {
		options = append(options, trace.WithNewRoot(), trace.WithLinks(links(messages)...),
			trace.WithAttributes(semconv.MessagingBatchMessageCount(len(messages))))
	}
	ctx, span := t.tracer.Start(ctx, "process "+m.Topic, options...)
	return inbox.WithTraceparent(ctx, traceparent(ctx)), span
}

// end ends a span with what came of the call. Nothing is wrong with a message
// that the handler does not want.
func end(span trace.Span, err error) {
	if asked := outcome.Of(err); err != nil && asked.Kind != outcome.Skip {
		span.SetAttributes(semconv.ErrorTypeKey.String(cmp.Or(asked.Reason, outcome.Handler)))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

func ofMessage(m *inbox.Message) []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		semconv.MessagingMessageID(m.ID),
		semconv.MessagingKafkaOffset(int(m.Offset)),
		semconv.MessagingMessageBodySize(len(m.Value)),
	}
	if m.Value == nil {
		attributes = append(attributes, semconv.MessagingKafkaMessageTombstone(true))
	}
	if m.Attempt > 1 {
		attributes = append(attributes, attribute.Int("tandem.inbox.attempt", m.Attempt))
	}
	return attributes
}

func links(messages []inbox.Message) []trace.Link {
	var links []trace.Link
	for i := range messages {
		if m := &messages[i]; writersSpan(m).IsValid() {
			links = append(links, trace.Link{SpanContext: writersSpan(m), Attributes: ofMessage(m)})
		}
	}
	return links
}

// writersSpan is not valid where the message names none.
func writersSpan(m *inbox.Message) trace.SpanContext {
	parent := m.Header("traceparent")
	if parent == "" {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": parent, "tracestate": m.Header("tracestate")}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// traceparent is empty where there is no span.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
