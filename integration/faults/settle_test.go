package faults_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/relay/admin"
)

// tail reads the topics as they grow, without a network in between.
type tail struct {
	t       *testing.T
	brokers []string

	grows chan struct{} // holds one if something was seen

	mu   sync.Mutex
	seen map[string]time.Time // when an id was first seen
}

func newTail(t *testing.T, brokers []string) *tail {
	t.Helper()
	return &tail{t: t, brokers: brokers, seen: map[string]time.Time{}, grows: make(chan struct{}, 1)}
}

// follow reads topics from their beginnings until what it returns is called, and
// no longer than the test.
func (l *tail) follow(topics ...string) (stop func()) {
	l.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(time.Second), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(100*time.Millisecond)) // a new partition is seen at once
	require.NoError(l.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			l.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) {
				if id := header(r, "ce_id"); l.seen[id].IsZero() {
					l.seen[id] = time.Now()
				}
			})
			l.mu.Unlock()
			select {
			case l.grows <- struct{}{}:
			default:
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		client.Close()
	})
	l.t.Cleanup(stop)
	return stop
}

// await returns when something comes from now on, or after d.
func (l *tail) await(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-l.grows: // before
	default:
	}
	select {
	case <-l.grows:
	case <-ctx.Done():
	}
}

// at is when the event was first seen; zero if it was not.
func (l *tail) at(id string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[id]
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// What has not come to rest. Each yields ids, or what else there is to name.
const (
	// Events that have to be in their topic, unless they are parked, held or dropped.
	// Of a topic that was made anew only those count that were written since; $1.
	unpublishedSQL = `SELECT f.id::text FROM public.facts AS f
		WHERE kind <> 'once' AND (topic <> 'doomed' OR at > $1)
		AND NOT EXISTS (SELECT FROM tandem.parked AS p WHERE p.id = f.id AND p.state IN ('parked', 'held'))
		AND NOT EXISTS (SELECT FROM tandem.dropped AS d WHERE d.id = f.id)`
	// Those that the consumers have to handle, unless they have set them aside.
	unhandledSQL = `SELECT f.id::text FROM public.facts AS f
		WHERE topic = ANY ($1) AND NOT EXISTS (SELECT FROM public.effects AS e WHERE e.id = f.id)
		AND NOT EXISTS (SELECT FROM tandem.inbox_aside AS a WHERE a.message_id = f.id::text AND a.consumer = $2 AND a.state IN ('parked', 'held'))
		AND NOT EXISTS (SELECT FROM tandem.parked AS p WHERE p.id = f.id AND p.state IN ('parked', 'held'))
		AND NOT EXISTS (SELECT FROM tandem.dropped AS d WHERE d.id = f.id)`
	restlessSQL = `SELECT 'event ' || id || ' is ' || state FROM tandem.parked WHERE state NOT IN ('parked', 'held')
		UNION ALL SELECT 'message ' || message_id || ' is retrying' FROM tandem.inbox_aside WHERE state = 'retrying'
		UNION ALL SELECT 'request ' || request || ' is open' FROM tandem.request WHERE finished_at IS NULL`
)

// grace is for what is missing when all who work say that all is done: time for the
// run itself to see it.
const grace = 20 * time.Second

// settle makes everything whole, and waits until nothing is left to be done.
func (r *run) settle(ctx context.Context) {
	for _, p := range r.processes() {
		p.postgres.Heal()
		p.kafka.Heal()
	}
	r.writersLink.Heal()
	var rest []string
	var idle time.Time // since when they say so
	dead := undertaker{run: r}
	looked := r.until(ctx, "everything is done", func(ctx context.Context) bool {
		dead.look(ctx)
		missing, undone, err := r.rest(ctx)
		if err != nil {
			if ctx.Err() == nil {
				rest, idle = []string{err.Error()}, time.Time{}
			}
			return false
		}
		rest = append(missing, undone...)
		switch {
		case len(undone) > 0:
			idle = time.Time{}
		case idle.IsZero():
			idle = time.Now()
		}
		return len(rest) == 0 || !idle.IsZero() && time.Since(idle) > grace
	})
	r.idle = !idle.IsZero()
	if !looked || len(rest) > 0 {
		for _, what := range rest[:min(len(rest), 20)] {
			r.fail("left: %s", what)
		}
		r.fail("left: %d in all", len(rest))
		r.describe(context.WithoutCancel(ctx))
	}
}

// describe notes what helps to find out why a run has not come to rest: what
// operators would look at, and where every goroutine of every process stands.
func (r *run) describe(ctx context.Context) {
	status, err := r.tandem(ctx, "status")
	r.journal.note("status", "%v\n%s", err, status)
	status, err = r.tandem(ctx, "inbox", "status")
	r.journal.note("inbox status", "%v\n%s", err, status)
	groups, err := r.admin.DescribeGroups(ctx, r.name)
	r.journal.note("group", "%v %+v", err, groups[r.name])
	for _, p := range r.processes() {
		p.end(syscall.SIGQUIT)
	}
}

// rest is what has not come to rest: what is missing, and what those who are to do
// it say that they have not done.
func (r *run) rest(ctx context.Context) (missing, undone []string, err error) {
	unpublished, err := r.strings(ctx, unpublishedSQL, r.remade)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range unpublished {
		if r.tail.at(id).IsZero() {
			missing = append(missing, "event "+id+" is not published")
		}
	}
	unhandled, err := r.strings(ctx, unhandledSQL, consumed, r.name)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range unhandled {
		missing = append(missing, "message "+id+" is not handled")
	}
	restless, err := r.strings(ctx, restlessSQL)
	if err != nil {
		return nil, nil, err
	}
	lag, err := r.lag(ctx)
	return missing, append(restless, lag...), err
}

// lag is what the group has not committed, and what the relay has not saved.
func (r *run) lag(ctx context.Context) (lag []string, err error) {
	var names []string
	for _, topic := range consumed {
		names = append(names, r.topics[topic])
	}
	ends, err := r.admin.ListEndOffsets(ctx, names...)
	if err := errors.Join(err, ends.Error()); err != nil {
		return nil, err
	}
	offsets, err := r.admin.FetchOffsets(ctx, r.name)
	if err != nil {
		return nil, err
	}
	for _, end := range ends.Offsets().Sorted() {
		at, there := offsets.Lookup(end.Topic, end.Partition)
		if there && at.At == end.At || end.At == 0 {
			continue
		}
		lag = append(lag, "offsets of "+end.Topic+" are not committed to the end")
	}
	conn, err := pgx.Connect(ctx, r.database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	status, err := admin.ReadStatus(ctx, conn, "")
	if err != nil {
		return nil, err
	}
	if status.Lag.Events > 0 {
		lag = append(lag, fmt.Sprintf("%d events are not saved as done", status.Lag.Events))
	}
	for _, topic := range status.Topics {
		if topic.Trouble != "" {
			lag = append(lag, fmt.Sprintf("topic %s is said to be in trouble: %s", topic.Topic, topic.Trouble))
		}
	}
	return lag, nil
}

func (r *run) strings(ctx context.Context, query string, arguments ...any) ([]string, error) {
	rows, err := r.pool.Query(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
