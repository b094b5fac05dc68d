package relay_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

const addOnce = `INSERT INTO tandem.log (topic, key, payload, at_most_once)
	SELECT 'metrics', 'k' || n % 10, n::text::bytea, true FROM generate_series($1::int, $2::int) AS n`

// An at-most-once event that fails is not sent again; ordinary ones are.
func TestAtMostOnceIsNeverRetried(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	l.exec(t, addOnce, 1, 100)
	l.fill(t, "orders", 100)
	attempts := map[string]int{}
	m.fail = func(topic string, _ int, events []*relay.Event) error {
		for _, e := range events {
			attempts[topic+string(e.Payload)]++
		}
		if attempts[topic+string(events[0].Payload)] == 1 {
			return errors.New("no answer")
		}
		return nil
	}
	stats := drain(t, l.config(t, m))
	require.EqualValues(t, 100, stats.Lost)
	require.EqualValues(t, 100, stats.Published)
	for payload, n := range attempts {
		if payload[0] == 'm' {
			require.Equal(t, 1, n, payload)
		}
	}
	require.Empty(t, l.setAside(t))
}

// A relay dies after it has sent at-most-once events, before it has saved that.
// The next one repeats the ordinary events, and skips those; new ones with lower
// positions, committed in between, are sent.
func TestAtMostOnceIsNotRepeatedByARestart(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	early, err := l.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = early.Exec(t.Context(), `INSERT INTO tandem.log (topic, payload, at_most_once) VALUES ('metrics', 'early', true)`)
	require.NoError(t, err)
	l.fill(t, "orders", 50)
	l.exec(t, addOnce, 1, 50)
	cfg := l.config(t, m)
	cfg.SaveEvery = time.Hour // nothing is saved but claims
	r, err := relay.New(cfg)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	m.await(t, 100)
	r.Abort()
	require.Error(t, <-ended)
	l.freeLease(t)
	require.NoError(t, early.Commit(t.Context()))

	for range 2 { // also when the second one dies like the first
		stats := drain(t, l.config(t, m))
		require.LessOrEqual(t, stats.Skipped, int64(50))
	}
	count := map[string]int{}
	for _, p := range payloads(m.records["metrics/0"]) {
		count[p]++
	}
	require.Len(t, count, 51)
	for payload, n := range count {
		require.Equal(t, 1, n, payload)
	}
}

// Relays die again and again, each in the middle of its work.
func TestAtMostOnceThroughManyCrashes(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	for round := range 8 {
		l.exec(t, addOnce, round*400+1, round*400+400)
		cfg := l.config(t, m)
		cfg.PageEvents, cfg.SaveEvery = 50, time.Hour
		r, err := relay.New(cfg)
		require.NoError(t, err)
		ended := make(chan error, 1)
		m.mu.Lock()
		before := m.count
		m.mu.Unlock()
		go func() { ended <- r.Run(context.Background()) }()
		m.await(t, before+100)
		r.Abort()
		require.Error(t, <-ended)
		l.freeLease(t)
	}
	drain(t, l.config(t, m))
	seen := map[string]bool{}
	for _, r := range m.all() {
		require.False(t, seen[r.Payload], "%s came twice", r.Payload)
		seen[r.Payload] = true
	}
	require.Greater(t, len(seen), 800)
}

// At-most-once events neither hold nor wait for a key, and are not kept for a
// topic that cannot be written to.
func TestAtMostOnceHoldsNothingUp(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	refusing(m, "bad")
	l.add(t, "metrics", "k5", "bad")
	l.exec(t, addOnce, 5, 5)
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, at_most_once) VALUES ('metrics', 'k6', 'bad', true)`)
	l.add(t, "metrics", "k6", "after")
	stats := drain(t, l.config(t, m))
	require.ElementsMatch(t, []string{"5", "after"}, payloads(m.all()))
	require.Equal(t, []string{"bad parked"}, l.setAside(t))
	require.EqualValues(t, 1, stats.Lost)

	l = newLog(t)
	breakTopic(m, "metrics", "missing")
	l.exec(t, addOnce, 1, 10)
	cfg := l.config(t, m)
	cfg.TopicTimeout = 50 * time.Millisecond
	require.EqualValues(t, 10, drain(t, cfg).Lost)
	require.Empty(t, l.setAside(t))
}

// Scheduled events go when they are due and not before, over a restart, and hold
// no key; one that is due already goes at once.
func TestScheduledEventsGoWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	at := map[string]time.Time{}
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		for _, e := range events {
			at[string(e.Payload)] = time.Now() // the database's clock: the same machine
		}
		return nil
	}
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, not_before, at_most_once)
		SELECT 'orders', 'k' || n % 10, n::text::bytea, clock_timestamp() + n * interval '20 ms', CASE WHEN n % 7 = 0 THEN true END
		FROM generate_series(-10, 100) AS n`)
	l.add(t, "orders", "k1", "0000")
	_, stop := start(t, l.config(t, m))
	m.await(t, 20)
	require.NoError(t, stop())
	_, stop = start(t, l.config(t, m))
	m.await(t, 112)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
	require.Len(t, m.all(), 112)

	rows, err := l.pool.Query(t.Context(), `SELECT convert_from(payload, 'UTF8'), not_before FROM tandem.log WHERE not_before IS NOT NULL`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var payload string
		var due time.Time
		require.NoError(t, rows.Scan(&payload, &due))
		require.False(t, at[payload].Before(due), "%s came %v too early", payload, due.Sub(at[payload]))
	}
	require.NoError(t, rows.Err())
}

// --until-empty sends what is scheduled for a time that has come.
func TestUntilEmptySendsWhatIsDue(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	l.exec(t, `INSERT INTO tandem.log (topic, payload, not_before, at_most_once) VALUES
		('orders', 'due', now(), NULL), ('orders', 'due once', now(), true), ('orders', 'later', now() + interval '1 hour', NULL)`)
	cfg := l.config(t, m)
	cfg.SaveEvery = time.Hour // it does not wait for that
	drain(t, cfg)
	require.ElementsMatch(t, []string{"due", "due once"}, payloads(m.all()))
	require.Equal(t, []string{"later scheduled"}, l.setAside(t))
}

// A relay dies after the time of a scheduled at-most-once event has come, and
// before the checkpoint has passed it: its successor reads it again, and yet it is
// not sent twice.
func TestScheduledAtMostOnceIsNotRepeatedByARestart(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	m.fail = func(topic string, _ int, _ []*relay.Event) error {
		if topic == "orders" {
			return errors.New("no answer")
		}
		return nil
	}
	r, stop := start(t, l.config(t, m))
	l.add(t, "orders", "k", "1")
	require.Eventually(t, func() bool { return r.Stats().Requests > 0 }, 30*time.Second, time.Millisecond)
	l.exec(t, `INSERT INTO tandem.log (topic, payload, not_before, at_most_once) VALUES ('metrics', 'once', now(), true)`)
	l.await(t, `SELECT count(*) > 0 FROM tandem.deferred`)
	for range 40 { // it has time to be sent, were it to be
		l.int(t, `SELECT count(pg_sleep(0.005)) FROM tandem.lease`)
	}
	r.Abort()
	require.Error(t, stop())
	l.freeLease(t)
	m.fail = nil
	_, stop = start(t, l.config(t, m))
	m.await(t, 2)
	require.NoError(t, stop()) // what it has read is saved
	_, stop = start(t, l.config(t, m))
	l.await(t, `SELECT count(*) = 0 FROM tandem.deferred`)
	require.NoError(t, stop())
	require.ElementsMatch(t, []string{"1", "once"}, payloads(m.all()))
}

// A scheduled event of a key that is parked goes all the same; one that is
// refused is parked and holds nothing.
func TestScheduledEventsLeaveTheOrderOfTheirKey(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	refusing(m, "bad", "bad too")
	add := func(payload string) {
		l.exec(t, `INSERT INTO tandem.log (topic, key, payload, not_before) VALUES ('orders', 'k', $1::text::bytea, now())`, payload)
	}
	l.add(t, "orders", "k", "bad")
	drain(t, l.config(t, m))
	add("later")
	_, stop := start(t, l.config(t, m))
	m.await(t, 1)
	require.NoError(t, stop())
	require.Equal(t, []string{"later"}, payloads(m.all()))
	l.exec(t, `DELETE FROM tandem.deferred`)

	add("bad too")
	_, stop = start(t, l.config(t, m))
	l.await(t, `SELECT count(*) = 1 FROM tandem.parked WHERE state = 'parked'`)
	l.add(t, "orders", "k", "free")
	m.await(t, 2)
	refusing(m)
	l.redrive(t)
	m.await(t, 3)
	require.NoError(t, stop())
	require.Equal(t, []string{"later", "free", "bad too"}, payloads(m.all()))
	require.Empty(t, l.setAside(t))
}

// An event that has expired is not sent, is counted and listed, and its key goes
// on: read too late, held too long, or due after its end.
func TestExpiredEventsAreNotSent(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, expires) VALUES
		('orders', 'k', 'late', now() - interval '1 second'), ('orders', 'k', 'in time', now() + interval '1 hour'), ('orders', 'k', 'free', NULL)`)
	stats := drain(t, l.config(t, m))
	require.Equal(t, []string{"in time", "free"}, payloads(m.all()))
	require.EqualValues(t, 1, stats.Expired)
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.dropped JOIN tandem.log USING (position, id) WHERE kind = 'expired' AND payload = 'late'`))

	refusing(m, "bad")
	l.add(t, "orders", "k", "bad")
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, expires) VALUES ('orders', 'k', 'held', clock_timestamp() + interval '1 hour')`)
	drain(t, l.config(t, m))
	require.Equal(t, []string{"bad parked", "held held"}, l.setAside(t))
	l.exec(t, `UPDATE tandem.deferred SET expires = clock_timestamp() WHERE state = 'waiting'`) // an hour later
	refusing(m)
	l.redrive(t)
	drain(t, l.config(t, m))
	require.Equal(t, []string{"in time", "free", "bad"}, payloads(m.all()))
	require.Empty(t, l.setAside(t))
	require.Equal(t, 2, l.int(t, `SELECT count(*) FROM tandem.dropped`))
}

// Millions of events could wait behind a key: they are not kept in memory, and
// the next relay, which cannot know every key, keeps the order all the same.
func TestManyStoredEventsComeBackInOrder(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	mend := breakTopic(m, "orders", "forbidden")
	cfg := l.config(t, m)
	cfg.TopicTimeout = 50 * time.Millisecond
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload)
		SELECT 'orders', 'k' || n % 500, n::text::bytea FROM generate_series(1, 12000) AS n`)
	drain(t, cfg)
	require.Equal(t, 12000, l.int(t, `SELECT count(*) FROM tandem.deferred`))
	mend()
	_, stop := start(t, cfg)
	for n := range 20 {
		l.exec(t, `INSERT INTO tandem.log (topic, key, payload)
			SELECT 'orders', 'k' || n % 500, n::text::bytea FROM generate_series($1::int, $1::int + 99) AS n`, 12001+n*100)
	}
	m.await(t, 14000)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
	requireFirstInOrder(t, m, 14000)
	require.Len(t, m.all(), 14000)
}

// What was dropped, and what operators asked for, is listed for 30 days; longer
// only while the log still holds the event.
func TestOldListsAreForgotten(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	l.exec(t, `INSERT INTO tandem.dropped (position, created_at, id, topic, kind, dropped_at) SELECT p, now(), gen_random_uuid(), 'orders', 'expired', at
		FROM (VALUES (1, now() - interval '31 days'), (1000, now() - interval '31 days'), (1001, now() - interval '29 days')) AS v (p, at)`)
	l.exec(t, `INSERT INTO tandem.request (kind, finished_at) VALUES ('replay', now() - interval '31 days'), ('replay', now() - interval '29 days')`)
	_, stop := start(t, l.config(t, newMemory(1)))
	l.await(t, `SELECT count(*) = 1 FROM tandem.request`)
	require.NoError(t, stop())
	require.Equal(t, 2, l.int(t, `SELECT count(*) FROM tandem.dropped WHERE position IN (1, 1001)`))
	require.Equal(t, 2, l.int(t, `SELECT count(*) FROM tandem.dropped`))
}
