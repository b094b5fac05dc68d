package relay_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// keeping copies the events that pass.
func keeping(m *memory) func() map[string]relay.Event {
	kept := map[string]relay.Event{}
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		for _, e := range events {
			c := *e
			c.Key, c.Headers, c.Payload = clone(e.Key), clone(e.Headers), clone(e.Payload)
			kept[e.Topic+"/"+string(e.Key)] = c
		}
		return nil
	}
	return func() map[string]relay.Event {
		m.mu.Lock()
		defer m.mu.Unlock()
		return kept
	}
}

// clone keeps the difference between nil and empty.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

func TestEventsPassUnchanged(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.exec(t, `INSERT INTO tandem.log (topic, key, type, headers, payload, partition) VALUES
		('a', 'tombstone', 'gone', NULL, NULL, NULL),
		('a', 'empty', NULL, '{}', '', NULL),
		('a', 'full', 'placed', '{"b": "2", "a": "ü\n"}', '\x00ff', 2),
		('b', NULL, NULL, NULL, 'no key', NULL)`)
	m := newMemory(3)
	kept := keeping(m)
	drain(t, l.config(t, m))

	e := kept()["a/tombstone"]
	require.Nil(t, e.Payload)
	require.Nil(t, e.Headers)
	require.Equal(t, "gone", e.Type)
	require.EqualValues(t, -1, e.Partition)
	e = kept()["a/empty"]
	require.NotNil(t, e.Payload)
	require.Empty(t, e.Payload)
	require.JSONEq(t, `{}`, string(e.Headers))
	require.Empty(t, e.Type)
	e = kept()["a/full"]
	require.JSONEq(t, `{"a": "ü\n", "b": "2"}`, string(e.Headers))
	require.Equal(t, []byte{0, 0xff}, e.Payload)
	require.EqualValues(t, 2, e.Partition)
	require.Len(t, m.records["a/2"], 1)
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.log WHERE id = $1 AND created_at = $2 AND position = $3`, e.ID, e.CreatedAt, e.Position))
	e = kept()["b/"]
	require.Nil(t, e.Key)
	require.Equal(t, "no key", string(e.Payload))
}

// One event may be larger than a page, a request, and all that may be in flight.
func TestEventsLargerThanEveryLimit(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]relay.Config{
		"a page":          {PageBytes: 1000},
		"one event pages": {PageBytes: 1, PageEvents: 1, BytesInFlight: 2},
		"a request":       {BatchBytes: 1000},
		"one of one":      {BatchEvents: 1, PageEvents: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			m := newMemory(2)
			cfg := l.config(t, m)
			cfg.PageBytes, cfg.PageEvents, cfg.BytesInFlight = limits.PageBytes, limits.PageEvents, limits.BytesInFlight
			cfg.BatchBytes, cfg.BatchEvents = limits.BatchBytes, limits.BatchEvents
			for i := range 30 {
				l.add(t, "orders", "k", strings.Repeat("x", 1+i*i*10))
			}
			drain(t, cfg)
			requireOrdered(t, m, 30)
			_, stop := start(t, cfg)
			l.add(t, "orders", "k", strings.Repeat("x", 5000))
			m.await(t, 31)
			require.NoError(t, stop())
			requireOrdered(t, m, 31)
		})
	}
}

// A user's URL may carry settings that are meant for a pooler.
func TestTheRelayChoosesHowItTalksToTheDatabase(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	separator := "?"
	if strings.Contains(l.url, "?") {
		separator = "&"
	}
	other := openLog(t, l.url+separator+"default_query_exec_mode=simple_protocol&statement_cache_capacity=0")
	l.add(t, "orders", "k", "1")
	m := newMemory(1)
	drain(t, other.config(t, m))
	require.Equal(t, []string{"1"}, payloads(m.all()))
}

// An empty payload is no tombstone, on the way back from where it was set aside
// neither: in a compacted topic the one deletes the key that the other sets.
func TestWhatIsEmptyStaysEmptyWhenItIsSetAside(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload) VALUES ('a', 'empty', ''), ('a', 'tombstone', NULL)`)
	m := newMemory(1)
	refusing(m, "")
	drain(t, l.config(t, m))
	require.Equal(t, 2, l.int(t, `SELECT count(*) FROM tandem.parked`))
	kept := keeping(m)
	l.redrive(t)
	drain(t, l.config(t, m))
	require.Len(t, kept(), 2)
	require.NotNil(t, kept()["a/empty"].Payload)
	require.Empty(t, kept()["a/empty"].Payload)
	require.Nil(t, kept()["a/tombstone"].Payload)
}
