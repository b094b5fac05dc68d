package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandem-outbox/tandem/relay"
)

// relayCollector reads a relay at each scrape. Gauges of the working relay are
// not there while it stands by: a standby that reported a backlog of zero would
// hide the worker's.
type relayCollector struct{ relay observed }

// observed is what metrics and health ask of a relay.
type observed interface {
	State() relay.State
	Stats() relay.Stats
	Topics() []relay.TopicStats
	Backlog() relay.Backlog
	Lease() (epoch int64, left time.Duration)
}

// Describe sends nothing: what is collected depends on what the relay does.
func (c relayCollector) Describe(chan<- *prometheus.Desc) {}

// Collect is part of prometheus.Collector.
func (c relayCollector) Collect(out chan<- prometheus.Metric) {
	s := sender{out}
	state := c.relay.State()
	for _, known := range []relay.State{relay.Starting, relay.Standby, relay.Relaying, relay.Interrupted, relay.Stopped} {
		s.gauge("tandem_relay_state", "1 for what the relay is doing, 0 for what it is not.", yes(state == known), "state", known.String())
	}
	s.gauge("tandem_relay_leads", "1 while this relay holds the lease.", yes(state == relay.Relaying))
	s.gauge("tandem_relay_build_info", "1, with the version as a label.", 1, "version", releaseText())
	c.counters(s)
	if epoch, left := c.relay.Lease(); epoch > 0 {
		s.gauge("tandem_relay_lease_epoch", "The term that this relay works in.", float64(epoch))
		s.gauge("tandem_relay_lease_seconds", "For how much longer this relay trusts its lease.", left.Seconds())
	}
	if b := c.relay.Backlog(); !b.Measured.IsZero() {
		c.backlog(s, b)
	}
	c.topics(s)
}

func (c relayCollector) counters(s sender) {
	stats := c.relay.Stats()
	for _, counter := range []struct {
		name, help string
		value      int64
	}{
		{"events_read", "Events read from the log, again after a lost connection.", stats.Read},
		{"events_published", "Events acknowledged by the broker.", stats.Published},
		{"requests", "Produce requests.", stats.Requests},
		{"request_retries", "Produce requests that were sent again.", stats.Retries},
		{"checkpoint_saves", "Checkpoints saved.", stats.Saves},
		{"leaves_reclaimed", "Leaves of the log given back.", stats.Reclaimed},
		{"events_parked", "Events refused by the broker and set aside for an operator.", stats.Parked},
		{"events_held", "Events set aside behind a parked one of their key.", stats.Held},
		{"events_deferred", "Events set aside because their topic could not be written to.", stats.Deferred},
		{"events_scheduled", "Events set aside until their time.", stats.Scheduled},
		{"events_released", "Events that were set aside and have been acknowledged since.", stats.Released},
		{"events_expired", "Events not sent because their time had passed.", stats.Expired},
		{"events_lost", "At-most-once events whose one attempt failed.", stats.Lost},
		{"events_skipped", "At-most-once events that an earlier term may have sent.", stats.Skipped},
		{"events_replayed", "Events sent again on purpose.", stats.Replayed},
	} {
		s.counter("tandem_relay_"+counter.name+"_total", counter.help, float64(counter.value))
	}
}

func (c relayCollector) backlog(s sender, b relay.Backlog) {
	const lag = "Events that are committed and not saved as done, by where they are: unread, unacknowledged, or unsaved."
	flying := min(int64(b.InFlight), b.Unsaved-b.Unread)
	s.gauge("tandem_relay_lag_events", lag, float64(b.Unread), "stage", "unread")
	s.gauge("tandem_relay_lag_events", lag, float64(flying), "stage", "unacknowledged")
	s.gauge("tandem_relay_lag_events", lag, float64(b.Unsaved-b.Unread-flying), "stage", "unsaved")
	s.gauge("tandem_relay_lag_bytes", "Keys, headers and payloads of these events.", float64(b.Bytes))
	s.gauge("tandem_relay_lag_seconds", "The age of the oldest of them.", b.Age.Seconds())
	s.gauge("tandem_relay_lag_estimated", "1 where there are too many of them to be counted.", yes(b.Estimated))
	s.gauge("tandem_relay_in_flight_events", "Events read and neither acknowledged nor set aside.", float64(b.InFlight))
	s.gauge("tandem_relay_in_flight_bytes", "The memory that these take.", float64(b.InFlightBytes))
	const aside = "Events that are set aside, counted up to 1,000: parked, waiting (held or deferred), scheduled."
	s.gauge("tandem_relay_set_aside_events", aside, float64(b.Parked), "state", "parked")
	s.gauge("tandem_relay_set_aside_events", aside, float64(b.Waiting), "state", "waiting")
	s.gauge("tandem_relay_set_aside_events", aside, float64(b.Scheduled), "state", "scheduled")
	s.gauge("tandem_relay_log_bytes", "What the log takes on disk, with its indexes.", float64(b.LogBytes))
	s.gauge("tandem_relay_log_leaves", "Leaves of the log, of 16, that hold anything.", float64(b.Leaves))
	s.gauge("tandem_relay_log_growth_bytes_per_second", "How fast that has grown over the last minutes.", b.Growth)
	s.gauge("tandem_relay_backlog_warnings", "How many limits for a warning are passed: --warn-backlog-size, --warn-backlog-age.", float64(len(b.Warnings)))
	s.gauge("tandem_relay_clock_offset_seconds", "How much the database's clock is ahead of this machine's.", b.ClockOffset.Seconds())
	if b.DiskFull > 0 {
		s.gauge("tandem_relay_disk_full_seconds", "Until --disk-size is full at that rate; not there where it does not grow.", b.DiskFull.Seconds())
	}
}

// topics are bounded as the labels of the counters are.
func (c relayCollector) topics(s sender) {
	topics := c.relay.Topics()
	for _, t := range topics[:min(len(topics), mostTopics)] {
		s.gauge("tandem_relay_topic_partitions", "Partitions of the topic, 0 where not known.", float64(t.Partitions), "topic", t.Topic)
		s.gauge("tandem_relay_topic_waiting_events", "Events read and neither acknowledged nor set aside.", float64(t.Waiting), "topic", t.Topic)
		s.gauge("tandem_relay_topic_trouble", "1 while the topic's events cannot be published.", yes(t.Trouble != ""), "topic", t.Topic)
		s.gauge("tandem_relay_topic_set_aside", "1 while the topic's events are kept in the database until it can be written to.", yes(t.SetAside), "topic", t.Topic)
	}
}

// sender makes metrics of values. Labels are names and values in turn.
type sender struct{ out chan<- prometheus.Metric }

func (s sender) gauge(name, help string, value float64, labels ...string) {
	s.send(prometheus.GaugeValue, name, help, value, labels)
}

func (s sender) counter(name, help string, value float64) {
	s.send(prometheus.CounterValue, name, help, value, nil)
}

func (s sender) send(kind prometheus.ValueType, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
}

func yes(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
