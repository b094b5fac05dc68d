package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/admin"
)

// What a discarded event held goes on in order, and what arrives meanwhile stays
// behind it. The discarded event does not come back, for a crash neither.
func TestDiscardLetsTheKeyGoOn(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	refusing(m, "bad")
	r, stop := start(t, l.config(t, m))
	for _, payload := range []string{"1", "bad", "2", "drop", "3"} {
		l.add(t, "orders", "k", payload)
	}
	l.await(t, `SELECT count(*) = 4 FROM tandem.deferred`)
	refusing(m)
	op := l.operator(t)
	held := admin.Selector{}
	for e, err := range op.List(t.Context(), admin.Selector{States: []admin.State{admin.Held}}) {
		require.NoError(t, err)
		if whole, err := l.operator(t).Show(t.Context(), e.ID); string(whole.Payload) == "drop" {
			require.NoError(t, err)
			held.IDs = append(held.IDs, e.ID)
		}
	}
	giveUp(t, op, held, true)
	require.Equal(t, []string{"bad parked", "2 held", "3 held"}, l.setAside(t))
	gone := giveUp(t, op, admin.Selector{Topics: []string{"orders"}}, false)
	require.EqualValues(t, 1, gone.Parked)
	l.add(t, "orders", "k", "4")
	ended := wait(t, op, admin.Request{Number: *gone.Release})
	require.Zero(t, ended.Failed)
	m.await(t, 4)
	r.Abort()
	_ = stop()
	l.freeLease(t)
	drain(t, l.config(t, m))
	require.NotContains(t, payloads(m.all()), "bad")
	require.NotContains(t, payloads(m.all()), "drop")
	require.Equal(t, []string{"1", "2", "3", "4"}, firsts(ofKey(m, "k")))
	require.Empty(t, l.setAside(t))
}

// giveUp discards; it tries until the saved checkpoint has passed the events.
func giveUp(t testing.TB, op *admin.Operator, s admin.Selector, held bool) admin.Discarded {
	t.Helper()
	for {
		gone, err := op.Discard(t.Context(), s, held, "alice", "test")
		var nothing *admin.NothingError
		if errors.As(err, &nothing) && nothing.Parked+nothing.Held > 0 {
			continue
		}
		require.NoError(t, err)
		return gone
	}
}

// firsts drops what a list has repeated.
func firsts(list []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// Two operators redrive and discard what they find while the relay works and
// writers write: every event is published or discarded, never both, and each key
// stays in order.
func TestOperatorsAndARelayAtTheSameTime(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		for _, e := range events {
			if n, _ := strconv.Atoi(string(e.Payload)); n%23 == 5 {
				return &relay.PublishError{Verdict: relay.RefusedRecords, Err: errors.New("never")}
			}
		}
		return nil
	}
	cfg := l.config(t, m)
	cfg.BatchEvents = 50
	_, stop := start(t, cfg)
	writing, written := context.WithCancel(t.Context())
	var operators sync.WaitGroup
	for range 2 {
		op := l.operator(t)
		operators.Go(func() { operate(writing, t, op) })
	}
	const n = 2000
	for i := range n {
		l.add(t, "orders", fmt.Sprint("k", i%10), strconv.Itoa(i))
	}
	written()
	operators.Wait()

	m.mu.Lock()
	m.fail = nil
	m.mu.Unlock()
	op := l.operator(t)
	for l.int(t, `SELECT count(*) FROM tandem.deferred`) > 0 {
		request, err := op.Redrive(t.Context(), admin.Selector{}, "alice")
		var nothing *admin.NothingError
		if !errors.As(err, &nothing) {
			require.NoError(t, err)
			wait(t, op, request)
		}
	}
	require.NoError(t, stop())

	rows, err := l.pool.Query(t.Context(), `SELECT convert_from(l.payload, 'UTF8') FROM tandem.dropped JOIN tandem.log AS l USING (position)`)
	require.NoError(t, err)
	discarded, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, discarded)
	for _, payload := range payloads(m.all()) {
		require.NotContains(t, discarded, payload)
	}
	requireFirstInOrder(t, m, n-len(discarded))
}

// operate does what an operator in a hurry does, until ctx ends.
func operate(ctx context.Context, t *testing.T, op *admin.Operator) {
	var nothing *admin.NothingError
	for round := 0; ctx.Err() == nil; round++ {
		key := admin.Selector{Keys: []string{fmt.Sprint("k", round%10)}}
		var err error
		if round%3 == 0 {
			_, err = op.Redrive(t.Context(), key, "alice")
		} else if round%7 == 0 {
			_, err = op.Discard(t.Context(), key, round%2 == 0, "alice", "")
		} else {
			_, err = op.Count(t.Context(), key)
		}
		if err != nil && !errors.As(err, &nothing) {
			t.Error(err)
			return
		}
	}
}
