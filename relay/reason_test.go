package relay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// A broker's words may hold what Postgres cannot keep, bytes of the record it
// refuses for instance: they are repaired, and hold nothing up.
func TestAReasonThatPostgresCannotKeepIsRepaired(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	words := &relay.PublishError{Verdict: relay.RefusedRecords, Hint: "see \xfe\x00", Err: errors.New("field \x00\xff is not known")}
	m.fail = func(topic string, _ int, events []*relay.Event) error {
		switch {
		case topic == "missing":
			return &relay.PublishError{Verdict: relay.RefusedTopic, Err: words.Err}
		case string(events[0].Payload) == "bad":
			return words
		}
		return nil
	}
	cfg := l.config(t, m)
	cfg.BatchEvents, cfg.TopicTimeout, cfg.Lease = 1, 50*time.Millisecond, time.Second
	_, stop := start(t, cfg)
	l.add(t, "missing", "k", "waits")
	l.add(t, "orders", "k", "bad")
	l.add(t, "orders", "other", "good")
	l.await(t, `SELECT count(*) = 2 FROM tandem.deferred`)
	l.await(t, `SELECT facts::text LIKE '%"trouble"%' FROM tandem.relay`)
	require.NoError(t, stop())
	require.Equal(t, []string{"waits deferred", "bad parked"}, l.setAside(t))
	require.Equal(t, []string{"good"}, payloads(m.all()))
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.deferred
		WHERE state = 'parked' AND reason = 'field ' || repeat(chr(65533), 2) || ' is not known' AND hint = 'see ' || repeat(chr(65533), 2)`))
}
