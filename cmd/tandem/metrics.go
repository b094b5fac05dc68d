package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tandem-outbox/tandem/relay"
)

// metrics are what Prometheus scrapes; docs/metrics.md lists them. Most are read
// from the relay at the scrape; two are counted as the relay calls its hook.
type metrics struct {
	registry  *prometheus.Registry
	delay     *prometheus.HistogramVec
	published *prometheus.CounterVec

	relay observed // set once, before the first scrape and before Run

	mu     sync.Mutex
	topics map[string]bool // that have a label of their own
}

// mostTopics have a label of their own; what comes after them is "other".
const mostTopics = 200

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tandem_relay_delivery_seconds",
			Help:    "From the writer's INSERT, by the database's clock and corrected for its offset, to the broker's acknowledgement.",
			Buckets: []float64{.001, .002, .003, .004, .006, .008, .01, .015, .02, .03, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600},
		}, []string{"topic"}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tandem_relay_topic_published_total", Help: "Events acknowledged by the broker.",
		}, []string{"topic"}),
		topics: map[string]bool{},
	}
	return m
}

// hooks are those of relay.Config; none where nobody will scrape.
func (m *metrics) hooks(scraped bool) relay.Hooks {
	if !scraped {
		return relay.Hooks{}
	}
	return relay.Hooks{Acknowledged: m.acknowledged}
}

func (m *metrics) watch(r observed) {
	m.relay = r
	m.registry.MustRegister(m.delay, m.published, relayCollector{r}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 8 * time.Second})
}

func (m *metrics) acknowledged(topic string, _ int, events []*relay.Event, _ time.Duration) {
	label := m.label(topic)
	m.published.WithLabelValues(label).Add(float64(len(events)))
	delay := m.delay.WithLabelValues(label)
	now := time.Now().Add(m.relay.Backlog().ClockOffset)
	for _, e := range events {
		delay.Observe(max(0, now.Sub(e.CreatedAt).Seconds()))
	}
}

func (m *metrics) label(topic string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.topics[topic] && len(m.topics) >= mostTopics {
		return "other"
	}
	m.topics[topic] = true
	return topic
}
