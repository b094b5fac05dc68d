package main

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testmetrics"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
)

// busy is a relay of which there is everything to be told.
type busy struct{ state relay.State }

func (b busy) State() relay.State          { return b.state }
func (busy) Stats() relay.Stats            { return relay.Stats{Read: 12, Published: 10, Parked: 1, Retries: 3} }
func (busy) Lease() (int64, time.Duration) { return 7, 4 * time.Second }
func (busy) Topics() []relay.TopicStats {
	return []relay.TopicStats{
		{Topic: "bills", Trouble: "it does not exist", Since: time.Unix(1_700_000_000, 0), SetAside: true},
		{Topic: "orders", Partitions: 6, Published: 10, Waiting: 2},
	}
}

func (busy) Backlog() relay.Backlog {
	return relay.Backlog{
		Measured: time.Unix(1_700_000_100, 0), Unsaved: 100, Unread: 60, Bytes: 1000, Age: 90 * time.Second, InFlight: 30, InFlightBytes: 9000,
		Parked: 1, Waiting: 2, Scheduled: 3, LogBytes: 5000, Leaves: 2, Growth: 10, DiskFull: time.Hour, ClockOffset: -time.Second,
		Warnings: []string{"the log takes 5000 bytes"},
	}
}

func scrape(t *testing.T, m *metrics) string {
	t.Helper()
	r := httptest.NewRecorder()
	m.handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, r.Code, r.Body)
	return r.Body.String()
}

func everything() *metrics {
	m := newMetrics()
	m.watch(busy{relay.Relaying})
	m.acknowledged("orders", 0, []*relay.Event{{CreatedAt: time.Now()}, {CreatedAt: time.Now().Add(-3 * time.Second)}}, 0)
	return m
}

func TestMetricsOfABusyRelay(t *testing.T) {
	t.Parallel()
	text := scrape(t, everything())
	for _, line := range []string{
		`tandem_relay_state{state="relaying"} 1`,
		`tandem_relay_state{state="standby"} 0`,
		`tandem_relay_leads 1`,
		`tandem_relay_lease_epoch 7`,
		`tandem_relay_lease_seconds 4`,
		`tandem_relay_events_published_total 10`,
		`tandem_relay_request_retries_total 3`,
		`tandem_relay_lag_events{stage="unread"} 60`,
		`tandem_relay_lag_events{stage="unacknowledged"} 30`,
		`tandem_relay_lag_events{stage="unsaved"} 10`,
		`tandem_relay_lag_seconds 90`,
		`tandem_relay_set_aside_events{state="waiting"} 2`,
		`tandem_relay_disk_full_seconds 3600`,
		`tandem_relay_backlog_warnings 1`,
		`tandem_relay_topic_trouble{topic="bills"} 1`,
		`tandem_relay_topic_set_aside{topic="bills"} 1`,
		`tandem_relay_topic_waiting_events{topic="orders"} 2`,
		`tandem_relay_topic_published_total{topic="orders"} 2`,
		`tandem_relay_delivery_seconds_bucket{topic="orders",le="0.001"} 1`, // the clock is said to be a second behind
		`tandem_relay_delivery_seconds_bucket{topic="orders",le="1"} 1`,
		`tandem_relay_delivery_seconds_bucket{topic="orders",le="2.5"} 2`,
	} {
		require.Contains(t, text, line+"\n")
	}
}

// The document lists what there is, with its labels, and nothing else.
func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	testmetrics.CheckDocument(t, filepath.Join("..", "..", "docs", "metrics.md"), "tandem_relay_", scrape(t, everything()))
}

// A standby tells nothing of a backlog: it would hide the worker's.
func TestAStandbyHasNoBacklog(t *testing.T) {
	t.Parallel()
	r, err := relay.New(relay.Config{Database: idleDatabase(t), Publisher: nobodyPublishes{}})
	require.NoError(t, err)
	m := newMetrics()
	m.watch(r)
	text := scrape(t, m)
	require.Contains(t, text, "tandem_relay_leads 0\n")
	require.NotContains(t, text, "tandem_relay_lag")
	require.NotContains(t, text, "tandem_relay_lease")
}

func TestNotEveryTopicHasALabel(t *testing.T) {
	t.Parallel()
	m := everything()
	for range 2 {
		for n := range 2 * mostTopics {
			m.acknowledged("topic-"+string(rune('a'+n%26))+strings.Repeat("x", n/26), 0, []*relay.Event{{CreatedAt: time.Now()}}, 0)
		}
	}
	text := scrape(t, m)
	require.Equal(t, mostTopics+1, strings.Count(text, "\ntandem_relay_topic_published_total{"))
	require.Regexp(t, `\ntandem_relay_topic_published_total\{topic="other"\} 402\n`, text)
}

func TestTheRelayServesItsMetrics(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	env := environment(database, broker(t), "TANDEM_HTTP_ADDR=127.0.0.1:0")
	r := start(t, env, "relay", "--warn-backlog-size=1kB", "--disk-size=1GiB")
	address := listening.FindStringSubmatch(r.stderr.await(t, "grown past the limit"))[1]
	add(t, database, "orders", "1", "2", "3")
	require.Eventually(t, func() bool {
		_, text := get(t, "http://"+address+"/metrics")
		return strings.Contains(text, "tandem_relay_events_published_total 3\n")
	}, 30*time.Second, 20*time.Millisecond)
	_, text := get(t, "http://"+address+"/metrics")
	require.Contains(t, text, "tandem_relay_leads 1\n")
	require.Contains(t, text, "tandem_relay_backlog_warnings 1\n")
	require.Contains(t, text, "go_goroutines")

	code, text := get(t, "http://"+address+"/statusz")
	require.Equal(t, 200, code)
	require.Contains(t, text, `"state": "relaying"`)
	require.Contains(t, text, `more than the limit of 1000 for a warning`)
	code, verbose := get(t, "http://"+address+"/readyz?verbose")
	require.Equal(t, 200, code)
	require.Contains(t, verbose, `"ready": true`)
}
