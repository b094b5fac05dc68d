package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
)

const traceparent = `{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`

// collecting is an endpoint for traces.
func collecting(t *testing.T) (address string, requests <-chan *collector.ExportTraceServiceRequest) {
	t.Helper()
	received := make(chan *collector.ExportTraceServiceRequest, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		received <- &request
	}))
	t.Cleanup(server.Close)
	return server.URL, received
}

func TestTheRelaySendsTraces(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	execute(t, database, `SELECT tandem.add('orders', 'x'::text, headers => '`+traceparent+`')`, `SELECT tandem.add('orders', 'y'::text)`)
	address, requests := collecting(t)
	r := tandem(t, environment(database, broker(t)), "relay", "--until-empty", "--otlp-endpoint", address)
	require.Equal(t, exitDone, r.code, r.stderr)
	spans := (<-requests).ResourceSpans
	require.Len(t, spans, 1)
	require.Len(t, spans[0].ScopeSpans[0].Spans, 1)
	require.Equal(t, "send orders", spans[0].ScopeSpans[0].Spans[0].Name)
	require.Equal(t, []byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, spans[0].ScopeSpans[0].Spans[0].ParentSpanId)
	named := false
	for _, a := range spans[0].Resource.Attributes {
		named = named || a.Key == "service.name" && a.Value.GetStringValue() == "tandem-relay"
	}
	require.True(t, named)
}

// An endpoint that does not answer is said once and stops nothing.
func TestTracesThatCannotBeSent(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(server.Close)
	database := testservers.Migrated(t)
	execute(t, database, `SELECT tandem.add('orders', 'x'::text, headers => '`+traceparent+`')`)
	r := tandem(t, environment(database, broker(t)), "relay", "--until-empty", "--otlp-endpoint", server.URL)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "published 1 events")
	require.Contains(t, r.stderr, "traces cannot be sent")
}

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{
		nil, {"OTEL_EXPORTER_OTLP_ENDPOINT="}, {"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", "OTEL_SDK_DISABLED=true"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://localhost:4318", "OTEL_TRACES_EXPORTER=none"},
	} {
		hooks, stop, err := startTracing(t.Context(), "", system{env: env}, nil)
		require.NoError(t, err)
		require.Nil(t, hooks.Acknowledged)
		stop()
	}
	hooks, stop, err := startTracing(t.Context(), "", system{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"}}, nil)
	require.NoError(t, err)
	require.NotNil(t, hooks.Acknowledged)
	stop()
}

func TestJoinedHooks(t *testing.T) {
	t.Parallel()
	var called []string
	hook := func(name string) relay.Hooks {
		return relay.Hooks{Acknowledged: func(string, int, []*relay.Event, time.Duration) { called = append(called, name) }}
	}
	joined(hook("a"), hook("b")).Acknowledged("", 0, nil, 0)
	joined(hook("c"), relay.Hooks{}).Acknowledged("", 0, nil, 0)
	joined(relay.Hooks{}, hook("d")).Acknowledged("", 0, nil, 0)
	require.Equal(t, []string{"a", "b", "c", "d"}, called)
	require.Nil(t, joined(relay.Hooks{}, relay.Hooks{}).Acknowledged)
}
