package relayotel

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-outbox/tandem/relay"
)

// Hooks are for relay.Config.Hooks.
func Hooks(provider trace.TracerProvider) relay.Hooks {
	t := tracing{provider.Tracer("github.com/tandem-outbox/tandem/relay/relayotel", trace.WithSchemaURL(semconv.SchemaURL))}
	return relay.Hooks{Acknowledged: t.acknowledged}
}

type tracing struct{ tracer trace.Tracer }

func (t tracing) acknowledged(topic string, partition int, events []*relay.Event, took time.Duration) {
	end := time.Now()
	for _, e := range events {
		parent := writersSpan(e.Headers)
		if !parent.IsSampled() {
			continue
		}
		_, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), parent), "send "+topic,
			trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(end.Add(-took)), trace.WithAttributes(attributes(topic, partition, e)...))
		span.End(trace.WithTimestamp(end))
	}
}

var named = []byte(`"traceparent"`)

// writersSpan is not valid where the headers name none. Most events are told by
// a look for the name.
func writersSpan(headers []byte) trace.SpanContext {
	if !bytes.Contains(headers, named) {
		return trace.SpanContext{}
	}
	var h struct {
		Traceparent string `json:"traceparent"`
		Tracestate  string `json:"tracestate"`
	}
	if json.Unmarshal(headers, &h) != nil {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": h.Traceparent, "tracestate": h.Tracestate}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

func attributes(topic string, partition int, e *relay.Event) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingSystemKafka,
		semconv.MessagingOperationTypeSend,
		semconv.MessagingOperationName("send"),
		semconv.MessagingDestinationName(topic),
		semconv.MessagingDestinationPartitionID(strconv.Itoa(partition)),
		semconv.MessagingMessageID(uuid.UUID(e.ID).String()),
		semconv.MessagingMessageBodySize(len(e.Payload)),
	}
}
