package relay_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/admin"
)

// replays are the payloads of records that bear a request's number, in the order
// of publishing within a lane.
func replays(m *memory, request int64) []string {
	var out []string
	for _, r := range m.all() {
		if r.Replay == request {
			out = append(out, r.Payload)
		}
	}
	return out
}

func numbers(from, to int) []string {
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, strconv.Itoa(n))
	}
	return out
}

func replay(t testing.TB, op *admin.Operator, s admin.ReplaySelector) admin.Request {
	t.Helper()
	request, err := op.Replay(t.Context(), s, "alice")
	require.NoError(t, err)
	return request
}

func wait(t testing.TB, op *admin.Operator, request admin.Request) admin.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended, err := op.Wait(ctx, request.Number, nil)
	require.NoError(t, err)
	return ended
}

// Exactly what was asked for is published again, once, in order, through the
// lanes of its keys, and bears the request's number; live events do not.
func TestReplayPublishesAgainWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	r, _ := start(t, l.config(t, m))
	l.fill(t, "bills", 100)
	l.fill(t, "orders", 1500)
	m.await(t, 1600)
	l.await(t, `SELECT count(*) = 1600 FROM tandem.published`)
	op := l.operator(t)
	request := replay(t, op, admin.ReplaySelector{Topic: "orders", FromPosition: 501, ToPosition: 1300, Rate: 100_000})
	require.EqualValues(t, 800, request.Total)
	ended := wait(t, op, request)
	require.EqualValues(t, 800, ended.Done)
	require.Zero(t, ended.Failed)
	require.Empty(t, ended.Error)
	require.Equal(t, numbers(401, 1200), replays(m, request.Number))
	require.Len(t, m.all(), 1600+800)
	require.EqualValues(t, 800, r.Stats().Replayed)

	// By key, type and time; a second request has its own number.
	request = replay(t, op, admin.ReplaySelector{Key: "k7", Type: "bills", From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)})
	require.EqualValues(t, 1, wait(t, op, request).Done)
	require.Equal(t, []string{"7"}, replays(m, request.Number))
}

// What the broker refuses is counted and nothing else: it is not parked, and its
// key is not held.
func TestAReplayIsNotParked(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	_, stop := start(t, l.config(t, m))
	l.fill(t, "orders", 200)
	m.await(t, 200)
	l.await(t, `SELECT count(*) = 200 FROM tandem.published`)
	refusing(m, "50", "60")
	op := l.operator(t)
	ended := wait(t, op, replay(t, op, admin.ReplaySelector{Rate: 100_000}))
	require.EqualValues(t, 198, ended.Done)
	require.EqualValues(t, 2, ended.Failed)
	require.Equal(t, "too large (make it smaller)", ended.Error)
	refusing(m)
	l.add(t, "orders", "k50", "later")
	m.await(t, 200+198+1)
	require.NoError(t, stop())
	require.Empty(t, l.setAside(t))
}

// A held key holds what was never published, and nothing that was.
func TestAReplayPassesAHeldKey(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	refusing(m, "bad")
	_, stop := start(t, l.config(t, m))
	for _, payload := range []string{"1", "2", "bad", "3"} {
		l.add(t, "orders", "k", payload)
	}
	l.await(t, `SELECT count(*) = 2 FROM tandem.deferred`)
	l.await(t, `SELECT count(*) = 2 FROM tandem.published`)
	op := l.operator(t)
	request := replay(t, op, admin.ReplaySelector{})
	require.EqualValues(t, 2, wait(t, op, request).Done)
	require.NoError(t, stop())
	require.Equal(t, []string{"1", "2"}, replays(m, request.Number))
	require.Equal(t, []string{"bad parked", "3 held"}, l.setAside(t))
}

// The next relay goes on where the row stands: a stop repeats a page at most.
func TestAReplayIsResumed(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	l.fill(t, "orders", 1000) // that takes 20 s, the test stops it after one
	drain(t, l.config(t, m))
	op := l.operator(t)
	request := replay(t, op, admin.ReplaySelector{Rate: 50}) // pages of 5
	_, stop := start(t, l.config(t, m))
	m.await(t, 1000+40)
	require.NoError(t, stop())
	sofar := len(replays(m, request.Number))
	require.Less(t, sofar, 1000)
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.request WHERE finished_at IS NULL AND done >= $1 AND position = done`, sofar-5))

	// A relay that runs until the log is empty carries out what is asked for.
	l.exec(t, `UPDATE tandem.request SET arguments = arguments || '{"rate": 100000}'`)
	drain(t, l.config(t, m))
	ended := wait(t, op, request)
	require.EqualValues(t, 1000, ended.Done)
	require.LessOrEqual(t, len(replays(m, request.Number)), 1005)
	require.Subset(t, replays(m, request.Number), numbers(1, 1000))
}

// A relay that has lost the lease counts nothing, and an operator may end a
// request by its row.
func TestAReplayCountsUnderTheFence(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	l.fill(t, "orders", 300)
	drain(t, l.config(t, m))
	asked, goOn := make(chan struct{}, 1), make(chan struct{})
	m.fail = func(string, int, []*relay.Event) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-goOn
		return nil
	}
	op := l.operator(t)
	replay(t, op, admin.ReplaySelector{Rate: 5000})
	_, stop := start(t, l.config(t, m))
	<-asked
	l.exec(t, `UPDATE tandem.lease SET epoch = epoch + 1, owner = gen_random_uuid(), expires_at = clock_timestamp() + interval '1 hour'`)
	close(goOn)
	m.await(t, 301)
	require.NoError(t, stop())
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.request WHERE done = 0 AND finished_at IS NULL`))

	l.exec(t, `UPDATE tandem.request SET finished_at = clock_timestamp()`)
	l.freeLease(t)
	before := len(m.all())
	drain(t, l.config(t, m))
	require.Len(t, m.all(), before)
}

// A replay into a topic that cannot be written to fails by itself, and holds
// nobody else up.
func TestAReplayOfAMissingTopicEnds(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	l.fill(t, "gone", 50)
	l.fill(t, "orders", 50)
	drain(t, l.config(t, m))
	missing := &relay.PublishError{Verdict: relay.RefusedTopic, Err: errors.New("no such topic")}
	m.layout = func(topic string) (int, error) {
		if topic == "gone" {
			return 0, missing
		}
		return 1, nil
	}
	cfg := l.config(t, m)
	cfg.TopicTimeout = 100 * time.Millisecond
	op := l.operator(t)
	request := replay(t, op, admin.ReplaySelector{Rate: 100_000})
	start(t, cfg)
	l.add(t, "orders", "k", "live")
	ended := wait(t, op, request)
	require.EqualValues(t, 50, ended.Done)
	require.EqualValues(t, 50, ended.Failed)
	require.NotEmpty(t, ended.Error)
	require.Equal(t, 0, l.int(t, `SELECT count(*) FROM tandem.deferred`))
	m.await(t, 100+50+1)
}

// What was given back meanwhile is missed.
func TestAReplaySaysWhatIsNotThereAnyMore(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	l.fill(t, "orders", 20)
	drain(t, l.config(t, m))
	op := l.operator(t)
	request := replay(t, op, admin.ReplaySelector{})
	l.exec(t, `DELETE FROM tandem.log WHERE position <= 5`)
	drain(t, l.config(t, m))
	ended := wait(t, op, request)
	require.EqualValues(t, 15, ended.Done)
	require.Equal(t, "5 events are not in the log any more, or have expired", ended.Error)
}
