package relay_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// One event of a big batch is refused: it is parked with all that an operator
// needs, its key is held in order, and every other event goes on.
func TestARefusedEventIsParkedAndHoldsItsKeyAlone(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.fill(t, "orders", 1000)
	m := newMemory(1)
	refusing(m, "700")
	stats := drain(t, l.config(t, m))
	requireOrdered(t, m, 1000-4)
	require.Equal(t, []string{"700 parked", "800 held", "900 held", "1000 held"}, l.setAside(t))
	require.EqualValues(t, 1, stats.Parked)
	require.EqualValues(t, 3, stats.Held)
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.parked AS p JOIN tandem.log AS l USING (position, id, topic, key)
		WHERE p.state = 'parked' AND p.reason = 'too large' AND p.hint = 'make it smaller' AND p.attempts = 1
		AND p.created_at = l.created_at AND p.parked_at > now() - interval '1 minute'`))

	// What comes later stays behind, also for the next relay.
	l.fill(t, "orders", 100)
	drain(t, l.config(t, m))
	requireOrdered(t, m, 1000-4+99)
	require.Equal(t, "100 held", l.setAside(t)[4])
}

func TestRedriveSendsInOrderAndFreesTheKey(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	refusing(m, "bad")
	_, stop := start(t, l.config(t, m))
	for _, payload := range []string{"1", "bad", "2", "3"} {
		l.add(t, "orders", "k", payload)
	}
	l.add(t, "orders", "other", "x")
	l.await(t, `SELECT count(*) = 3 FROM tandem.deferred`)

	// In vain: it is refused again, and nothing else has moved.
	request := l.redrive(t)
	l.await(t, `SELECT finished_at IS NOT NULL FROM tandem.request WHERE request = $1`, request)
	require.Equal(t, []string{"bad parked", "2 held", "3 held"}, l.setAside(t))
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.request WHERE request = $1 AND total = 1 AND done = 0 AND failed = 1`, request))
	require.Equal(t, 2, l.int(t, `SELECT attempts FROM tandem.parked WHERE state = 'parked'`))

	refusing(m)
	request = l.redrive(t)
	l.add(t, "orders", "k", "4")
	l.await(t, `SELECT finished_at IS NOT NULL FROM tandem.request WHERE request = $1`, request)
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.request WHERE request = $1 AND done = 1 AND failed = 0`, request))
	l.add(t, "orders", "k", "5")
	m.await(t, 7)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
	require.Equal(t, []string{"1", "bad", "2", "3", "4", "5"}, ofKey(m, "k"))
}

// ofKey returns the payloads of a key's records in the order of publishing; it is
// always in the same partition.
func ofKey(m *memory, key string) []string {
	var out []string
	for _, r := range m.all() {
		if r.Key == key {
			out = append(out, r.Payload)
		}
	}
	return out
}

// Writers go on while keys are parked, redriven and refused again, over several
// relays: no key is ever out of order, and nothing is missing in the end.
func TestOrderIsKeptThroughParkingAndRedriving(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	refused := map[string]bool{}
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		for _, e := range events {
			if n, _ := strconv.Atoi(string(e.Payload)); n%97 == 3 && !refused[string(e.Payload)] {
				if len(events) == 1 {
					refused[string(e.Payload)] = true // only the first time
				}
				return &relay.PublishError{Verdict: relay.RefusedRecords, Err: errors.New("not now")}
			}
		}
		return nil
	}
	const rounds, each = 6, 300
	for round := range rounds {
		cfg := l.config(t, m)
		cfg.BatchEvents = 50
		_, stop := start(t, cfg)
		for i := range each {
			n := round*each + i
			l.add(t, "orders", fmt.Sprint("k", n%10), strconv.Itoa(n))
			if i%60 == 59 {
				l.redrive(t)
			}
		}
		require.NoError(t, stop())
	}
	for deadline := 0; l.int(t, `SELECT count(*) FROM tandem.deferred`) > 0 || deadline == 0; deadline++ {
		require.Less(t, deadline, 50, "%v", l.setAside(t))
		l.redrive(t)
		drain(t, l.config(t, m))
	}
	requireFirstInOrder(t, m, rounds*each)
}

// requireFirstInOrder checks that every payload, a number, was published, and
// that those of a key first appear in ascending order.
func requireFirstInOrder(t *testing.T, m *memory, n int) {
	t.Helper()
	seen, last := map[string]bool{}, map[string]int{}
	for _, r := range m.all() {
		if seen[r.Payload] {
			continue
		}
		seen[r.Payload] = true
		number, err := strconv.Atoi(r.Payload)
		require.NoError(t, err)
		if before, ok := last[r.Key]; ok {
			require.Greater(t, number, before, "key %s", r.Key)
		}
		last[r.Key] = number
	}
	require.Len(t, seen, n)
}

// An event without a key has no order to keep: it is parked, and holds nothing.
func TestARefusedEventWithoutAKeyHoldsNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	refusing(m, "bad")
	for _, payload := range []string{"1", "bad", "2"} {
		l.exec(t, `SELECT tandem.add('orders', $1::text)`, payload)
	}
	drain(t, l.config(t, m))
	require.Equal(t, []string{"1", "2"}, payloads(m.all()))
	require.Equal(t, []string{"bad parked"}, l.setAside(t))
	refusing(m)
	l.redrive(t)
	drain(t, l.config(t, m))
	require.Equal(t, []string{"1", "2", "bad"}, payloads(m.all()))
}

// A request fails, and when it is repeated it is refused for a record's sake: the
// partition answers, so its trouble is over, and nobody is told of it any more.
func TestTroubleIsOverWhenTheRepetitionIsRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	failed := false
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		if !failed {
			failed = true
			return errors.New("no leader")
		}
		for _, e := range events {
			if string(e.Payload) == "bad" {
				return &relay.PublishError{Verdict: relay.RefusedRecords, Err: errors.New("too large")}
			}
		}
		return nil
	}
	r, stop := start(t, l.config(t, m))
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload) VALUES ('orders', 'a', 'bad'), ('orders', 'b', '1')`)
	l.await(t, `SELECT count(*) = 1 FROM tandem.deferred WHERE state = 'parked'`)
	m.await(t, 1)
	require.Empty(t, r.Topics()[0].Trouble)
	require.NoError(t, stop())
}

// Record after record is refused: the topic is at fault, and nothing is parked
// key by key. Other topics go on; when it takes records again, all flow in order.
func TestATopicThatRefusesEveryRecordIsSetAsideAsAWhole(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	wrong := true
	m.fail = func(topic string, _ int, _ []*relay.Event) error {
		if topic == "small" && wrong {
			return &relay.PublishError{Verdict: relay.RefusedRecords, Err: errors.New("too large")}
		}
		return nil
	}
	r, stop := start(t, l.config(t, m))
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload)
		SELECT 'small', 'k' || n % 50, n::text::bytea FROM generate_series(1, 500) AS n`)
	l.fill(t, "orders", 500)
	m.await(t, 500)
	l.await(t, `SELECT count(*) = 500 AND count(*) FILTER (WHERE state = 'parked') = 0 FROM tandem.deferred`)
	topics := r.Topics()
	require.Len(t, topics, 2)
	require.True(t, topics[1].SetAside)
	require.Contains(t, topics[1].Trouble, "record after record")
	require.False(t, topics[0].SetAside)

	m.mu.Lock()
	wrong = false
	m.mu.Unlock()
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload)
		SELECT 'small', 'k' || n % 50, n::text::bytea FROM generate_series(501, 600) AS n`)
	m.await(t, 1100)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
	requireOrderedByKey(t, m, "small", 600)
}

// The limit of a topic that refuses record after record is mended while its events
// are tried once more: those refused just before are tried again, and not parked.
func TestRecordsRefusedBeforeTheTopicWasMendedAreNotParked(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	left := 25 // single records to be refused: 20 set the topic aside, the others come after it
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		if left == 0 {
			return nil
		}
		if len(events) == 1 {
			left--
		}
		return &relay.PublishError{Verdict: relay.RefusedRecords, Err: errors.New("too large")}
	}
	_, stop := start(t, l.config(t, m))
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload)
		SELECT 'small', 'k' || n % 50, n::text::bytea FROM generate_series(1, 500) AS n`)
	m.await(t, 500)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
	require.Zero(t, l.int(t, `SELECT count(*) FROM tandem.dropped`))
	requireOrderedByKey(t, m, "small", 500)
}

// requireOrderedByKey checks the records of one topic: all of them once, and
// those of a key in order.
func requireOrderedByKey(t *testing.T, m *memory, topic string, n int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	sum, last := 0, map[string]int64{}
	for lane, records := range m.records {
		if !strings.HasPrefix(lane, topic+"/") {
			continue
		}
		for _, r := range records {
			require.Greater(t, r.Position, last[r.Key], "key %s", r.Key)
			last[r.Key] = r.Position
			sum++
		}
	}
	require.Equal(t, n, sum)
}
