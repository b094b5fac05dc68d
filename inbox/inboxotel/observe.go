package inboxotel

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

// Observe lets a meter provider read what a Consumer counts and how it does, from
// now on and for as long as the provider is used: also after Run has returned, so
// that the last collection has the last figures. Consumers of one process need
// names of their own to be told apart. An error is the provider's.
func Observe(meters metric.MeterProvider, consumer *inboxkafka.Consumer) error {
	if meters == nil {
		return nil
	}
	meter := meters.Meter(scope)
	var read []func(metric.Observer, inboxkafka.Stats)
	var instruments []metric.Observable
	var errs []error
	add := func(instrument metric.Int64Observable, err error, values func(inboxkafka.Stats, observe)) {
		instruments, errs = append(instruments, instrument), append(errs, err)
		read = append(read, func(o metric.Observer, s inboxkafka.Stats) {
			values(s, func(value int64, attributes ...attribute.KeyValue) {
				o.ObserveInt64(instrument, value, metric.WithAttributes(append(attributes, consumerKey.String(s.Consumer))...))
			})
		})
	}
	for _, c := range counters {
		instrument, err := meter.Int64ObservableCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.help))
		add(instrument, err, func(s inboxkafka.Stats, send observe) {
			for _, t := range s.Topics {
				send(c.value(t.Totals), topicKey.String(t.Topic))
			}
		})
	}
	for _, g := range gauges {
		instrument, err := meter.Int64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.help))
		add(instrument, err, func(s inboxkafka.Stats, send observe) {
			for _, p := range s.Partitions {
				if v := g.value(p); v >= 0 {
					send(v, topicKey.String(p.Topic), partitionKey.String(strconv.Itoa(p.Partition)))
				}
			}
		})
	}
	healthy, err := meter.Int64ObservableGauge("tandem.inbox.healthy", metric.WithDescription("1 while Consumer.Health has nothing to say."))
	add(healthy, err, func(_ inboxkafka.Stats, send observe) { send(yes(consumer.Health() == nil)) })
	err = errors.Join(errs...)
	if err == nil {
		_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
			s := consumer.Stats()
			for _, r := range read {
				r(o, s)
			}
			return nil
		}, instruments...)
	}
	if err != nil {
		return fmt.Errorf("inboxotel: observe a consumer: %w", err)
	}
	return nil
}

type observe = func(value int64, attributes ...attribute.KeyValue)

// counters are of a consumer and topic.
var counters = []struct {
	name, unit, help string
	value            func(inboxkafka.Totals) int64
}{
	{"tandem.inbox.transactions", "{transaction}", "Transactions that were committed.", func(t inboxkafka.Totals) int64 { return t.Batches }},
	{"tandem.inbox.messages.handled", "{message}", "Messages whose handler succeeded.", func(t inboxkafka.Totals) int64 { return t.Handled }},
	{"tandem.inbox.messages.duplicate", "{message}", "Messages that were known, and whose handler was not called.", func(t inboxkafka.Totals) int64 { return t.Duplicates }},
	{"tandem.inbox.messages.retried", "{message}", "Attempts that were not a message's first.", func(t inboxkafka.Totals) int64 { return t.Retried }},
	{"tandem.inbox.messages.failed", "{message}", "Attempts that failed and will be followed by another.", func(t inboxkafka.Totals) int64 { return t.Failed }},
	{"tandem.inbox.messages.parked", "{message}", "Messages set aside for an operator.", func(t inboxkafka.Totals) int64 { return t.Parked }},
	{"tandem.inbox.messages.held", "{message}", "Messages set aside behind another one of their key.", func(t inboxkafka.Totals) int64 { return t.Held }},
	{"tandem.inbox.messages.skipped", "{message}", "Messages given up, because the handler or a policy says so.", func(t inboxkafka.Totals) int64 { return t.Skipped }},
	{"tandem.inbox.messages.lost", "{message}", "Messages of an at-most-once consumer that were not handled.", func(t inboxkafka.Totals) int64 { return t.Lost }},
}

// gauges are of a partition that is assigned; what is below zero is not known.
var gauges = []struct {
	name, unit, help string
	value            func(inboxkafka.PartitionStats) int64
}{
	{"tandem.inbox.lag.messages", "{message}", "Offsets of the partition that are neither applied nor set aside; not there until known.", func(p inboxkafka.PartitionStats) int64 { return p.Lag }},
	{"tandem.inbox.held.keys", "{key}", "Keys of the partition that wait behind a message that is set aside.", func(p inboxkafka.PartitionStats) int64 { return int64(p.HeldKeys) }},
	{"tandem.inbox.set_aside.messages", "{message}", "Messages of the partition that are set aside: to be tried again, held or parked.", func(p inboxkafka.PartitionStats) int64 { return p.Aside }},
	{"tandem.inbox.partition.blocked", "", "1 while nothing of the partition is applied: held by a message, or because something fails.", func(p inboxkafka.PartitionStats) int64 { return yes(p.State == "blocked") }},
}

func yes(is bool) int64 {
	if is {
		return 1
	}
	return 0
}
