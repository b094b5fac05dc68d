package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relayotel"
)

func otlpEndpoint(to *string) *setting {
	s := &setting{
		name: "otlp-endpoint", kind: "url", shown: "off",
		usage:   "where to send traces over HTTP (OTLP); OpenTelemetry's own variables, OTEL_EXPORTER_OTLP_ENDPOINT and the others, do as well",
		allowed: "an http or https URL; without a path it is /v1/traces", example: "http://localhost:4318",
		parse: func(text string) error {
			u, err := url.Parse(text)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return errors.New("it is no http or https URL")
			}
			if strings.Trim(u.Path, "/") == "" {
				u.Path = "/v1/traces"
			}
			*to = u.String()
			return nil
		},
	}
	s.redacted = func() string { // some services take a token in it
		u, err := url.Parse(s.text)
		if err != nil {
			return ""
		}
		if u.RawQuery != "" {
			u.RawQuery = "xxxxx"
		}
		return u.Redacted()
	}
	return s
}

// startTracing returns hooks for the relay, and what sends the last spans at the
// end. There are none where no endpoint is configured.
func startTracing(ctx context.Context, endpoint string, sys system, log *slog.Logger) (relay.Hooks, func(), error) {
	env := map[string]string{}
	for _, pair := range sys.env {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	configured := cmp.Or(endpoint, env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], env["OTEL_EXPORTER_OTLP_ENDPOINT"])
	if configured == "" || env["OTEL_SDK_DISABLED"] == "true" || env["OTEL_TRACES_EXPORTER"] == "none" {
		return relay.Hooks{}, func() {}, nil
	}
	var options []otlptracehttp.Option
	if endpoint != "" {
		options = append(options, otlptracehttp.WithEndpointURL(endpoint))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return relay.Hooks{}, nil, fmt.Errorf("send traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&saidOnce{SpanExporter: exporter, log: log}, sdktrace.WithMaxQueueSize(1<<14)),
		sdktrace.WithResource(tracedAs(env["OTEL_SERVICE_NAME"])))
	stop := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last traces were not sent", "error", err)
		}
	}
	return relayotel.Hooks(provider), stop, nil
}

// tracedAs is what the spans are of; OTEL_RESOURCE_ATTRIBUTES may add to it.
func tracedAs(service string) *resource.Resource {
	own := resource.NewSchemaless(attribute.String("service.name", cmp.Or(service, "tandem-relay")), attribute.String("service.version", releaseText()))
	all, err := resource.Merge(resource.Environment(), own)
	if err != nil {
		return own
	}
	return all
}

// saidOnce logs that traces cannot be sent, and that they can again, each once.
// The SDK would log every attempt, and globally.
type saidOnce struct {
	sdktrace.SpanExporter
	log *slog.Logger

	mu      sync.Mutex
	failing bool
}

// ExportSpans is part of sdktrace.SpanExporter.
func (e *saidOnce) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil && !e.failing:
		e.log.Warn("traces cannot be sent, and are dropped; events are published all the same", "error", err)
	case err == nil && e.failing:
		e.log.Info("traces are sent again")
	}
	e.failing = err != nil
	return nil
}

// joined calls the hooks of the one and of the other.
func joined(a, b relay.Hooks) relay.Hooks {
	switch {
	case a.Acknowledged == nil:
		return b
	case b.Acknowledged == nil:
		return a
	}
	return relay.Hooks{Acknowledged: func(topic string, partition int, events []*relay.Event, took time.Duration) {
		a.Acknowledged(topic, partition, events, took)
		b.Acknowledged(topic, partition, events, took)
	}}
}
