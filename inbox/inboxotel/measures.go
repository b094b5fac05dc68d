package inboxotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

// Attributes of every instrument.
const (
	consumerKey  = attribute.Key("consumer")
	topicKey     = attribute.Key("topic")
	partitionKey = attribute.Key("partition")
)

// durations are bounds in seconds, sizes in messages.
var (
	durations = metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60)
	sizes     = metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000)
)

// measures are what is measured as it happens.
type measures struct {
	handler, transaction metric.Float64Histogram
	size                 metric.Int64Histogram
	topics               map[string]metric.MeasurementOption // the attributes
}

func newMeasures(meter metric.Meter, config inboxkafka.Config) (*measures, error) {
	m := &measures{topics: map[string]metric.MeasurementOption{}}
	for _, topic := range config.Topics {
		m.topics[topic] = metric.WithAttributeSet(attribute.NewSet(consumerKey.String(config.Consumer), topicKey.String(topic)))
	}
	var errs [3]error
	m.handler, errs[0] = meter.Float64Histogram("tandem.inbox.handler.duration", metric.WithUnit("s"), durations,
		metric.WithDescription("How long a call of the handler takes, of failed ones too."))
	m.transaction, errs[1] = meter.Float64Histogram("tandem.inbox.transaction.duration", metric.WithUnit("s"), durations,
		metric.WithDescription("How long a transaction takes that is committed, its handlers included."))
	m.size, errs[2] = meter.Int64Histogram("tandem.inbox.transaction.messages", metric.WithUnit("{message}"), sizes,
		metric.WithDescription("Messages in a transaction."))
	return m, errors.Join(errs[:]...)
}

func (m *measures) handled(ctx context.Context, topic string, took time.Duration) {
	m.handler.Record(ctx, took.Seconds(), m.topics[topic])
}

func (m *measures) committed(b inboxkafka.Batch) {
	m.transaction.Record(context.Background(), b.Took.Seconds(), m.topics[b.Topic])
	m.size.Record(context.Background(), int64(b.Size), m.topics[b.Topic])
}
