// Package relayotel continues the traces of writers through the relay: for each
// event whose headers carry a sampled traceparent (W3C Trace Context) there is a
// producer span, a child of the writer's, from the first attempt to send it to
// the broker's acknowledgement. The record's headers stay as they are, so that a
// consumer's span is a child of the writer's too.
//
//	config.Hooks = relayotel.Hooks(provider)
//
// An event without traceparent costs nothing, one that was not sampled no span.
// What was refused or set aside has a span once it has been acknowledged.
//
// Attributes are those of OpenTelemetry's semantic conventions for messaging. The
// key is left out: it may be personal.
package relayotel
