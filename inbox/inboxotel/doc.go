// Package inboxotel shows OpenTelemetry what a Kafka consumer of package
// inboxkafka does: spans of its handlers, joined to the traces of those who wrote
// the messages, and metrics.
//
//	config.Hooks, err = inboxotel.Hooks(config, tracerProvider, meterProvider)
//	if err != nil {
//		return err
//	}
//	consumer, err := inboxkafka.NewConsumer(config, pool, handler)
//	if err != nil {
//		return err
//	}
//	if err := inboxotel.Observe(meterProvider, consumer); err != nil {
//		return err
//	}
//	return consumer.Run(ctx)
//
// It needs OpenTelemetry's API alone; which SDK and exporter there are is up to
// the providers.
//
// # Traces
//
// Each call of a handler has a consumer span, a child of the span whose
// traceparent (W3C Trace Context) the message brings. What the handler does with
// its context is below that span, and events that it adds to an outbox with it
// continue the trace there. A call with several messages, of a batch handler,
// has a span of a trace of its own, with a link to each message's. A message
// without traceparent begins a trace; whether it is recorded is for the
// provider's sampler to say.
//
// A transaction that is repeated has a span for each of its calls. Attributes
// are those of OpenTelemetry's semantic conventions for messaging, and
// tandem.inbox.attempt where an attempt is not the first. A failure and a panic
// set the span's status, and error.type to the word by which tandem inbox parked
// list selects. The key is left out: it may be personal.
//
// # Metrics
//
// docs/metrics.md lists them, with the names that Prometheus has for them.
// Hooks measures how long handlers and transactions take, Observe reads
// Consumer.Stats and Consumer.Health at each collection. Counters are by topic,
// not by partition; gauges by partition are those of the partitions that are
// assigned.
package inboxotel
