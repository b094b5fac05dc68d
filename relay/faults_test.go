package relay_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/faultyconn"
)

var stride = flag.Int("stride", 499, "let the relay's connections fail at every so manieth message; 1 is at each")

// A term from its start to its end, in which one message to Postgres or back is the
// last one of its connection: in the end everything has been published, in order
// within its key, an at-most-once event at most once; what was refused is parked, what
// was parked before redriven, the leaf before given back.
func TestTheConnectionFailsAtSomeMessage(t *testing.T) {
	t.Parallel()
	const shards = 2
	for shard := range shards { // a term has about two thousand messages
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			f := &faultyTerm{T: t, log: newLog(t), line: faultyconn.New(faultyconn.Postgres)}
			t.Logf("%d terms were disturbed", f.line.EachFrom(1+shard**stride, shards**stride, f.try))
			require.Greater(t, f.n, 1)
		})
	}
}

// faultyTerm is one log, whose relay has a faulty connection again and again. Keys
// and payloads end with the number of the try.
type faultyTerm struct {
	*testing.T
	*log
	line *faultyconn.Line
	n    int
}

func (f *faultyTerm) try(at int, how faultyconn.How) {
	t := f.T
	f.n++
	m := newMemory(2)
	refusing(m, fmt.Sprint("bad", f.n))
	// On a leaf of its own, so that the one before is to be given back.
	leaf := f.int(t, `SELECT setval('tandem.log_position', ((last_value >> 17) + 1) << 17)::bigint FROM tandem.log_position`)
	f.exec(t, `INSERT INTO tandem.log (topic, key, payload, at_most_once, not_before, expires)
		SELECT topic, key || $1, (payload || $1)::bytea, once, due, expires FROM (VALUES
		(1, 'orders', 'a', '1-', NULL, NULL::timestamptz, NULL::timestamptz), (2, 'orders', 'b', '2-', NULL, NULL, NULL), (3, 'orders', 'a', '3-', NULL, NULL, NULL),
		(4, 'metrics', NULL, 'once', true, NULL, NULL), (5, 'orders', NULL, 'due', NULL, now(), NULL), (6, 'orders', 'b', 'late', NULL, NULL, now()),
		(7, 'orders', 'c', 'bad', NULL, NULL, NULL), (8, 'orders', 'c', '5-', NULL, NULL, NULL), (9, 'orders', 'a', '6-', NULL, NULL, NULL)
		) AS v (n, topic, key, payload, once, due, expires) ORDER BY n`, fmt.Sprint(f.n))
	f.redrive(t)
	cfg := f.config(t, m)
	cfg.Database.DialFunc = f.line.Dial
	cfg.PageEvents, cfg.SaveEvery = 3, time.Millisecond
	_, stop := start(t, cfg)
	f.await(t, `SELECT coalesce(array_agg(state ORDER BY position) = '{parked,waiting}' AND min(key) = 'c' || $1, false) FROM tandem.deferred`, fmt.Sprint(f.n))
	f.await(t, `SELECT NOT EXISTS (SELECT FROM tandem.request WHERE finished_at IS NULL)`)
	f.await(t, `SELECT NOT EXISTS (SELECT FROM tandem.log WHERE position < $1)`, leaf)
	f.await(t, `SELECT count(*) = $1 FROM tandem.dropped WHERE kind = 'expired'`, f.n)
	m.distinct(t, 5+2*min(f.n-1, 1)) // and what was redriven; the at-most-once event may be lost
	_ = stop()                       // who was disturbed at the very end says so
	f.freeLease(t)
	f.check(m, fmt.Sprintf("message %d %s", at, how))
}

// check looks at what was published.
func (f *faultyTerm) check(m *memory, what string) {
	t := f.T
	times, byKey := map[string]int{}, map[string]string{}
	for _, records := range m.records {
		for _, r := range records {
			if times[r.Payload]++; times[r.Payload] == 1 && r.Key != "" {
				byKey[r.Key] += r.Payload + " "
			}
		}
	}
	now, before := fmt.Sprint(f.n), fmt.Sprint(f.n-1)
	require.LessOrEqual(t, times["once"+now], 1, what)
	want := map[string]string{"a" + now: "1-" + now + " 3-" + now + " 6-" + now + " ", "b" + now: "2-" + now + " "}
	if f.n > 1 {
		want["c"+before] = "bad" + before + " 5-" + before + " "
	}
	require.Equal(t, want, byKey, what)
	for payload, n := range times {
		require.LessOrEqual(t, n, 2, "%s: %s came %d times, for one failure", what, payload, n)
	}
}
