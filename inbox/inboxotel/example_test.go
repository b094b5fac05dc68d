package inboxotel_test

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/inboxotel"
)

// A consumer that shows what it does to whatever the providers lead to, and its
// health over HTTP.
func Example() {
	run := func(ctx context.Context, pool *pgxpool.Pool, handler inbox.Handler, tracers trace.TracerProvider, meters metric.MeterProvider) error {
		config := inboxkafka.Config{Brokers: []string{"localhost:9092"}, Consumer: "billing", Topics: []string{"orders"}}
		var err error
		if config.Hooks, err = inboxotel.Hooks(config, tracers, meters); err != nil {
			return err
		}
		consumer, err := inboxkafka.NewConsumer(config, pool, handler)
		if err != nil {
			return err
		}
		if err := inboxotel.Observe(meters, consumer); err != nil {
			return err
		}
		http.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
			if err := consumer.Health(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			}
		})
		return consumer.Run(ctx)
	}
	_ = run
}
