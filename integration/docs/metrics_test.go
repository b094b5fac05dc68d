package docs_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/inboxotel"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// serveMetrics is the first way of docs/metrics.md for consumers.
func serveMetrics(mux *http.ServeMux, consumer *inboxkafka.Consumer) error {
	exporter, err := prometheus.New(prometheus.WithoutScopeInfo()) // go.opentelemetry.io/otel/exporters/prometheus
	if err != nil {
		return err
	}
	meterProvider := metric.NewMeterProvider(metric.WithReader(exporter)) // go.opentelemetry.io/otel/sdk/metric
	if err := inboxotel.Observe(meterProvider, consumer); err != nil {
		return err
	}
	mux.Handle("/metrics", promhttp.Handler())
	return nil
}

// handled is the second.
func handled(consumer *inboxkafka.Consumer) client.Collector {
	return client.NewCounterFunc(client.CounterOpts{Name: "tandem_inbox_messages_handled_total"},
		func() float64 { return float64(consumer.Stats().Handled) })
}

// Not parallel: client_golang's registry is the process's.
func TestMetricsOfAConsumer(t *testing.T) {
	pool := (&world{T: t, url: func(string) string { return testservers.Migrated(t) }}).pool("")
	router := inbox.NewRouter()
	consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{Brokers: []string{"localhost:9092"}, Consumer: "billing", Topics: []string{"orders"}}, pool, router.Handler())
	require.NoError(t, err)
	mux := http.NewServeMux()
	require.NoError(t, serveMetrics(mux, consumer))
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Contains(t, answer.Body.String(), `tandem_inbox_healthy{consumer="billing"}`)

	registry := client.NewRegistry()
	require.NoError(t, registry.Register(handled(consumer)))
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Equal(t, "tandem_inbox_messages_handled_total", families[0].GetName())
}
