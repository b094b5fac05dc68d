package inboxotel_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const patience = 30 * time.Second // longer than anything here takes

// world is a database and a broker with topics orders and bills.
type world struct {
	testing.TB
	address  string
	pool     *pgxpool.Pool
	cluster  *kfake.Cluster
	producer *kgo.Client
	spans    *tracetest.InMemoryExporter
	tracers  *sdktrace.TracerProvider
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, address: testservers.Migrated(t), spans: tracetest.NewInMemoryExporter()}
	w.pool = testinbox.Pool(t, w.address)
	w.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	w.cluster = kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "bills"))
	t.Cleanup(w.cluster.Close)
	var err error
	w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(w.producer.Close)
	return w
}

func (w *world) config() inboxkafka.Config {
	return inboxkafka.Config{
		Brokers: w.cluster.ListenAddrs(), Consumer: "billing", GroupID: "accounts", Topics: []string{"orders", "bills"},
		RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond, SessionTimeout: patience, DrainTimeout: time.Second, StartTimeout: patience,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// send sends an order with a new id and these headers, names and values in turn.
func (w *world) send(value string, headers ...string) {
	w.Helper()
	record := &kgo.Record{Topic: "orders", Key: []byte(value), Value: []byte(value), Headers: []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte(uuid.Must(uuid.NewV7()).String())},
	}}
	for i := 0; i < len(headers); i += 2 {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	require.NoError(w, w.producer.ProduceSync(context.Background(), record).FirstErr())
}

// run runs a consumer until the test ends.
func (w *world) run(consumer *inboxkafka.Consumer) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		require.NoError(w, <-done)
	})
}

// await waits until there are so many spans, and returns them as they ended.
func (w *world) await(n int) tracetest.SpanStubs {
	w.Helper()
	w.eventually(func() bool { return len(w.spans.GetSpans()) >= n })
	return w.spans.GetSpans()
}

func (w *world) eventually(is func() bool) {
	w.Helper()
	require.Eventually(w, is, patience, 5*time.Millisecond)
}
