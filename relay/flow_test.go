package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

var errRefused = &relay.PublishError{Verdict: relay.RefusedRecords, Err: errors.New("too large")}

// What was not set aside for its partition comes to be fetched while that cannot
// be written to: it stays, the rest of the topic goes on, and it follows when the
// partition is back.
func TestARedriveForAPartitionThatCannotBeWrittenToHoldsNothingUp(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(4)
	var broken error = errRefused
	m.fail = func(_ string, partition int, _ []*relay.Event) error {
		if partition == 2 {
			return broken
		}
		return nil
	}
	be := func(err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		broken = err
	}
	add := func(key, payload string) {
		l.exec(t, `INSERT INTO tandem.log (topic, key, payload, partition) VALUES ('orders', $1, $2::text::bytea, 2)`, key, payload)
	}
	cfg := l.config(t, m)
	cfg.TopicTimeout = 100 * time.Millisecond
	_, stop := start(t, cfg)
	add("parked", "1")
	l.await(t, `SELECT count(*) = 1 FROM tandem.parked WHERE state = 'parked'`)
	be(errors.New("no leader"))
	add("other", "1")
	fillOthers := func() { // partitions 0, 1 and 3
		l.exec(t, `INSERT INTO tandem.log (topic, payload, partition) SELECT 'orders', 'x', n FROM unnest('{0,1,3}'::int[]) AS n, generate_series(1, 10)`)
	}
	sum := 0
	for n := 0; l.int(t, `SELECT count(*) FROM tandem.deferred WHERE lane = 2`) == 0; n++ {
		require.Less(t, n, 1000)
		fillOthers()
		sum += 30
	}
	request := l.redrive(t)
	l.await(t, `SELECT started_at IS NOT NULL FROM tandem.request WHERE request = $1`, request)
	add("parked", "2")
	l.await(t, `SELECT count(*) = 3 FROM tandem.deferred`)
	fillOthers()
	sum += 30
	m.await(t, sum)
	be(nil)
	m.await(t, sum+3)
	l.await(t, `SELECT done = 1 AND failed = 0 AND finished_at IS NOT NULL FROM tandem.request WHERE request = $1`, request)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
	require.Equal(t, []string{"1", "2"}, ofKey(m, "parked"))
}

// A topic comes back but for one of its partitions: the rest of it goes on.
func TestATopicComesBackWithoutOneOfItsPartitions(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	mend := breakTopic(m, "orders", "forbidden")
	cfg := l.config(t, m)
	cfg.TopicTimeout = 50 * time.Millisecond
	_, stop := start(t, cfg)
	add := func(payload string) {
		l.exec(t, `INSERT INTO tandem.log (topic, payload, partition) VALUES ('orders', $1::text::bytea, 0), ('orders', $1::text::bytea, 1)`, payload)
	}
	add("1")
	l.await(t, `SELECT count(*) = 2 FROM tandem.deferred`)
	m.mu.Lock()
	m.fail = func(_ string, partition int, _ []*relay.Event) error {
		if partition == 1 {
			return errors.New("no leader")
		}
		return nil
	}
	m.mu.Unlock()
	m.await(t, 1)
	add("2")
	m.await(t, 2)
	l.await(t, `SELECT count(*) = 2 AND count(lane) = 2 FROM tandem.deferred`)
	mend()
	m.await(t, 4)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
}

// A parked event holds what comes after it, and nothing before it.
func TestAParkedEventHoldsNothingBeforeIt(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	mend := breakTopic(m, "orders", "missing")
	cfg := l.config(t, m)
	cfg.TopicTimeout = 50 * time.Millisecond
	for _, payload := range []string{"1", "2", "3"} {
		l.add(t, "orders", "k", payload)
	}
	drain(t, cfg)
	l.exec(t, `UPDATE tandem.deferred SET state = 'parked', parked_at = now() WHERE payload = '2'`)
	mend()
	drain(t, cfg)
	require.Equal(t, []string{"1"}, payloads(m.all()))
	require.Equal(t, []string{"2 parked", "3 held"}, l.setAside(t))
}

// A flow whose read fails is repeated, whatever it was for.
func TestAFlowThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	refusing(m, "1")
	cfg := l.config(t, m)
	var out lines
	cfg.Logger = slog.New(slog.NewTextHandler(&out, nil))
	_, stop := start(t, cfg)
	l.add(t, "orders", "k", "1")
	l.await(t, `SELECT count(*) = 1 FROM tandem.parked WHERE state = 'parked'`)
	refusing(m)
	l.exec(t, `ALTER TABLE tandem.deferred RENAME COLUMN lanes TO elsewhere`)
	l.redrive(t)
	require.Eventually(t, func() bool { return out.contain("events that were set aside cannot be read") }, 30*time.Second, 5*time.Millisecond)
	l.exec(t, `ALTER TABLE tandem.deferred RENAME COLUMN elsewhere TO lanes`)
	m.await(t, 1)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
}

// lines is what a relay has logged.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) contain(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.all.Bytes(), []byte(text))
}

// A topic grows at the moment when a record of it was refused: that the refusal
// is not decided yet keeps nothing waiting for longer than it takes.
func TestATopicGrowsWhileARefusalIsNotDecided(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	partitions := 1
	m.layout = func(string) (int, error) { return partitions, nil }
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		if string(events[0].Payload) == "bad" {
			partitions = 2
			return errRefused
		}
		return nil
	}
	_, stop := start(t, l.config(t, m))
	l.add(t, "orders", "k", "bad")
	l.await(t, `SELECT count(*) = 1 FROM tandem.parked WHERE state = 'parked'`)
	for n := range 10 {
		l.add(t, "orders", fmt.Sprint(n), "good")
	}
	m.await(t, 10)
	require.NoError(t, stop())
	require.Len(t, m.records, 2)
}

// A topic is set aside while a request of one of its lanes is under way: what
// that lane still has comes before what was set aside meanwhile.
func TestAFlowDoesNotOvertakeWhatIsStillInALane(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	answer := make(chan struct{})
	asked := make(chan struct{}, 1)
	slow := &slowLane{memory: m, partition: 1, asked: asked, answer: answer}
	refused := true
	m.fail = func(_ string, partition int, _ []*relay.Event) error {
		if partition == 0 && refused {
			return errMissing
		}
		return nil
	}
	cfg := l.config(t, slow)
	cfg.TopicTimeout = 50 * time.Millisecond
	_, stop := start(t, cfg)
	add := func(partition int, key, payload string) {
		l.exec(t, `INSERT INTO tandem.log (topic, key, payload, partition) VALUES ('orders', $1, $2::text::bytea, $3)`, key, payload, partition)
	}
	add(1, "k", "1")
	<-asked
	add(1, "k", "2") // queued behind it
	add(0, "other", "1")
	l.await(t, `SELECT count(*) = 1 FROM tandem.deferred WHERE key = 'other'`)
	add(1, "k", "3")
	l.await(t, `SELECT count(*) = 1 FROM tandem.deferred WHERE key = 'k'`)
	m.mu.Lock()
	refused = false
	m.mu.Unlock()
	close(answer)
	m.await(t, 4)
	require.NoError(t, stop())
	require.Equal(t, []string{"1", "2", "3"}, ofKey(m, "k"))
}

// The same, and the relay dies while that request is under way.
func TestATakeoverDoesNotOvertakeWhatWasStillInALane(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	asked := make(chan struct{}, 1)
	m.fail = func(_ string, partition int, _ []*relay.Event) error {
		if partition == 0 {
			return errMissing
		}
		return nil
	}
	cfg := l.config(t, &slowLane{memory: m, partition: 1, asked: asked})
	cfg.TopicTimeout = 50 * time.Millisecond
	r, stop := start(t, cfg)
	add := func(partition int, key, payload string) {
		l.exec(t, `INSERT INTO tandem.log (topic, key, payload, partition) VALUES ('orders', $1, $2::text::bytea, $3)`, key, payload, partition)
	}
	add(1, "k", "1")
	<-asked
	add(0, "other", "x")
	l.await(t, `SELECT count(*) = 1 FROM tandem.deferred WHERE key = 'other'`)
	add(1, "k", "2")
	l.await(t, `SELECT count(*) = 1 FROM tandem.deferred WHERE key = 'k'`)
	r.Abort()
	require.Error(t, stop())
	l.freeLease(t)
	m.fail = nil
	cfg.Publisher, cfg.SaveEvery = m, time.Hour // only what a flow asks for
	_, stop = start(t, cfg)
	m.await(t, 3)
	require.NoError(t, stop())
	require.Equal(t, []string{"1", "2"}, ofKey(m, "k"))
	require.Empty(t, l.setAside(t))
}

// Events go on being written while a flow sends what was set aside: it catches up
// with them, and does not go on for as long as they come.
func TestAFlowCatchesUpWithItsWriters(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	mend := breakTopic(m, "orders", "forbidden")
	cfg := l.config(t, m)
	cfg.TopicTimeout = 50 * time.Millisecond
	r, stop := start(t, cfg)
	l.add(t, "orders", "k", "0")
	l.await(t, `SELECT count(*) = 1 FROM tandem.deferred`)
	mend()
	const most = 100 // which is what it would come to
	rounds := 0
	m.mu.Lock()
	m.fail = func(string, int, []*relay.Event) error {
		if rounds == most || !r.Topics()[0].SetAside {
			return nil
		}
		rounds++
		before := r.Stats().Deferred
		_, err := l.pool.Exec(context.Background(), `SELECT tandem.add('orders', $1::text, 'k')`, fmt.Sprint(rounds))
		for n := 0; err == nil && n < 40 && r.Stats().Deferred == before; n++ { // it is, or waits in memory
			_, err = l.pool.Exec(context.Background(), `SELECT pg_sleep(0.005)`)
		}
		if err == nil { // and is saved
			_, err = l.pool.Exec(context.Background(), `SELECT pg_sleep(0.05)`)
		}
		return err
	}
	m.mu.Unlock()
	require.Eventually(t, func() bool { return !r.Topics()[0].SetAside }, time.Minute, 5*time.Millisecond)
	require.NoError(t, stop())
	require.Less(t, rounds, most/4) // a few
	requireFirstInOrder(t, m, rounds+1)
}

// An operator frees a key while a flow is between two pages: what the first page
// has passed of that key comes before what the second one would bring.
func TestAKeyThatIsFreedWithinAFlowKeepsItsOrder(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	store := func(state, key, payload string, n int) {
		l.exec(t, `INSERT INTO tandem.deferred (position, created_at, id, topic, key, payload, state, ordered, parked_at)
			SELECT nextval('tandem.log_position'), now(), gen_random_uuid(), 'orders', $2, $3::text::bytea, $1, true, CASE WHEN $1 = 'parked' THEN now() END
			FROM generate_series(1, $4)`, state, key, payload, n)
	}
	store("parked", "k", "given up", 1)
	store("waiting", "k", "1", 1)
	store("waiting", "other", "x", 2500) // more than a page
	store("waiting", "k", "2", 1)
	var once sync.Once
	m.fail = func(string, int, []*relay.Event) (err error) {
		once.Do(func() {
			_, err = l.pool.Exec(context.Background(), `DELETE FROM tandem.deferred WHERE state = 'parked'`)
		})
		return err
	}
	_, stop := start(t, l.config(t, m))
	l.await(t, `SELECT count(*) = 0 FROM tandem.deferred`)
	require.NoError(t, stop())
	require.Equal(t, []string{"1", "2"}, ofKey(m, "k"))
}

// slowLane answers the first request to one partition when it is told to.
type slowLane struct {
	*memory
	partition int
	asked     chan<- struct{}
	answer    <-chan struct{}
	once      sync.Once
}

func (s *slowLane) Publish(ctx context.Context, topic string, partition int, events []*relay.Event) error {
	if partition == s.partition {
		s.once.Do(func() {
			s.asked <- struct{}{}
			select {
			case <-s.answer:
			case <-ctx.Done():
			}
		})
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.memory.Publish(ctx, topic, partition, events)
}

// A relay dies when a record was refused and the next one of its key has come:
// whatever was decided, its successor does not send the second one first.
func TestATakeoverWhileARefusalIsNotDecidedKeepsTheOrder(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	refusing(m, "1")
	cfg := l.config(t, m)
	cfg.SaveEvery = time.Microsecond
	r, stop := start(t, cfg)
	l.add(t, "orders", "k", "1")
	require.Eventually(t, func() bool { return r.Stats().Requests == 1 }, 30*time.Second, time.Millisecond)
	l.add(t, "orders", "k", "2")
	require.Eventually(t, func() bool { return r.Stats().Read == 2 }, 30*time.Second, time.Millisecond)
	for range 20 { // it has time to be set aside, were it to be
		l.int(t, `SELECT count(pg_sleep(0.005)) FROM tandem.lease`)
	}
	r.Abort()
	require.Error(t, stop())
	l.freeLease(t)
	refusing(m)
	cfg.SaveEvery = time.Hour // only what a flow asks for
	_, stop = start(t, cfg)
	for n := 0; l.int(t, `SELECT count(*) FROM tandem.deferred`) > 0 || len(m.all()) < 2; n++ {
		require.Less(t, n, 100)
		l.redrive(t)
		l.await(t, `SELECT count(*) = 0 FROM tandem.request WHERE finished_at IS NULL`)
	}
	require.NoError(t, stop())
	require.Equal(t, []string{"1", "2"}, ofKey(m, "k"))
}

// A stored event asks for a partition that does not exist: it is parked, and what
// was stored behind it stays there.
func TestAStoredEventThatIsParkedHoldsWhatWasStoredBehindIt(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	mend := breakTopic(m, "orders", "missing")
	cfg := l.config(t, m)
	cfg.TopicTimeout = 50 * time.Millisecond
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload, partition) VALUES ('orders', 'k', '1', 7), ('orders', 'k', '2', NULL), ('orders', 'other', '3', NULL)`)
	drain(t, cfg)
	require.Equal(t, []string{"1 deferred", "2 deferred", "3 deferred"}, l.setAside(t))
	mend()
	drain(t, cfg)
	require.Equal(t, []string{"1 parked", "2 held"}, l.setAside(t))
	require.Equal(t, []string{"3"}, payloads(m.all()))
}
