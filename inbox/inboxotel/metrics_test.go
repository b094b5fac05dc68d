package inboxotel_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/inboxotel"
	"github.com/tandem-outbox/tandem/internal/testmetrics"
)

// meters are read by the returned function as Prometheus reads them.
func meters(t *testing.T) (*sdkmetric.MeterProvider, func() string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	require.NoError(t, err)
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.Background())) })
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return provider, func() string {
		r := httptest.NewRecorder()
		handler.ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
		require.Equal(t, 200, r.Code, r.Body)
		return r.Body.String()
	}
}

func repository(path ...string) string {
	return filepath.Join(append([]string{"..", ".."}, path...)...)
}

// What a consumer shows that has met about everything, and that the document, the
// alerts and the dashboard speak of that and of nothing else.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	provider, scrape := meters(t)
	config := w.config()
	config.MaxAttempts = 2
	var err error
	config.Hooks, err = inboxotel.Hooks(config, nil, provider)
	require.NoError(t, err)
	consumer, err := inboxkafka.NewConsumer(config, w.pool, func(_ context.Context, _ pgx.Tx, m inbox.Message) error {
		if string(m.Value) == "bad" {
			return os.ErrInvalid
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, inboxotel.Observe(provider, consumer))
	require.Contains(t, scrape(), `tandem_inbox_healthy{consumer="billing"} 0`+"\n")
	for _, value := range []string{"a", "bad", "bad", "b"} {
		w.send(value)
	}
	w.run(consumer)
	var text string
	for _, line := range []string{
		`tandem_inbox_healthy{consumer="billing"} 1`,
		`tandem_inbox_messages_handled_total{consumer="billing",topic="orders"} 2`,
		`tandem_inbox_messages_handled_total{consumer="billing",topic="bills"} 0`,
		`tandem_inbox_messages_failed_total{consumer="billing",topic="orders"} 1`,
		`tandem_inbox_messages_retried_total{consumer="billing",topic="orders"} 1`,
		`tandem_inbox_messages_parked_total{consumer="billing",topic="orders"} 1`,
		`tandem_inbox_messages_held_total{consumer="billing",topic="orders"} 1`,
		`tandem_inbox_messages_lost_total{consumer="billing",topic="orders"} 0`,
		`tandem_inbox_lag_messages{consumer="billing",partition="0",topic="orders"} 0`,
		`tandem_inbox_lag_messages{consumer="billing",partition="0",topic="bills"} 0`,
		`tandem_inbox_held_keys{consumer="billing",partition="0",topic="orders"} 1`,
		`tandem_inbox_set_aside_messages{consumer="billing",partition="0",topic="orders"} 2`,
		`tandem_inbox_partition_blocked{consumer="billing",partition="0",topic="orders"} 0`,
		`tandem_inbox_handler_duration_seconds_bucket{consumer="billing",topic="orders",le="60"} `,
		`tandem_inbox_transaction_duration_seconds_bucket{consumer="billing",topic="orders",le="+Inf"} `,
		`tandem_inbox_transaction_messages_bucket{consumer="billing",topic="orders",le="100"} `,
	} {
		require.Eventually(t, func() bool { text = scrape(); return strings.Contains(text, line) }, patience, patience/1000, "%s", line)
	}

	series := testmetrics.Series(t, text)
	testmetrics.CheckDocument(t, repository("docs", "metrics.md"), "tandem_inbox_", text)
	testmetrics.CheckRules(t, repository("deploy", "prometheus", "tandem-inbox.rules.yml"), series)
	testmetrics.CheckDashboard(t, repository("deploy", "grafana", "tandem-inbox.json"), series)
}
