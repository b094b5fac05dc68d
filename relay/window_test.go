package relay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tandem-outbox/tandem/relay"
)

// FuzzWindows is any order of what can happen to a log: transactions begin, write
// (which takes each key's lock), roll back to a savepoint, commit or roll back;
// relays read what is there, in pages of a few events, some of them killed on the
// way, with everything saved or nothing. In the end each committed event has been
// published, exactly once where no relay was killed, in its key's order; and no
// other.
func FuzzWindows(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // to be repeated
	for range 6 {
		seed := make([]byte, 8192)
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		f.Add(seed)
	}
	l := newLog(f)
	database := l.config(f, nil).Database
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		w := &windows{T: t, log: l, database: database, published: newMemory(2), locks: map[string]*writer{}, want: map[string][]string{}}
		w.run()
	}))
}

const (
	windowWriters = 4
	windowKeys    = 5
)

// windows is one course of events, and what is to come of it.
type windows struct {
	*rapid.T
	log       *log
	database  *pgx.ConnConfig
	published *memory
	writers   [windowWriters]*writer // nil where none is at work
	locks     map[string]*writer     // by key
	want      map[string][]string    // the payloads of each key, in the order of the writers
	events    int
	killed    bool
}

// writer is a transaction, and what it has written so far.
type writer struct {
	tx    pgx.Tx
	wrote []record
}

func (w *windows) run() {
	defer func() {
		for _, open := range w.writers {
			if open != nil {
				_ = open.tx.Rollback(context.Background())
			}
		}
	}()
	for range rapid.IntRange(5, 25).Draw(w.T, "steps") {
		i := rapid.IntRange(0, windowWriters).Draw(w.T, "writer")
		switch {
		case i == windowWriters:
			w.relay()
		case w.writers[i] == nil:
			tx, err := w.log.pool.Begin(context.Background())
			require.NoError(w, err)
			w.writers[i] = &writer{tx: tx}
		default:
			w.writers[i] = w.step(w.writers[i])
		}
	}
	for i, open := range w.writers {
		if open != nil {
			w.end(open, true)
			w.writers[i] = nil
		}
	}
	w.start(0)
	w.check()
}

// step lets a transaction go on; nil is its end.
func (w *windows) step(open *writer) *writer {
	switch rapid.IntRange(0, 9).Draw(w.T, "step") {
	case 0:
		w.end(open, false)
		return nil
	case 1, 2, 3:
		w.end(open, true)
		return nil
	case 4: // what a savepoint takes back has drawn its position all the same
		nested, err := open.tx.Begin(context.Background())
		require.NoError(w, err)
		w.add(nested, "k9", "taken back")
		require.NoError(w, nested.Rollback(context.Background()))
	default:
		key := fmt.Sprint("k", rapid.IntRange(0, windowKeys-1).Draw(w.T, "key"))
		if owner := w.locks[key]; owner != nil && owner != open {
			break // it would wait
		}
		w.locks[key] = open
		for range rapid.IntRange(1, 4).Draw(w.T, "events") {
			w.events++
			e := record{Key: key, Payload: fmt.Sprint(w.events)}
			w.add(open.tx, e.Key, e.Payload)
			open.wrote = append(open.wrote, e)
		}
	}
	return open
}

func (w *windows) add(tx pgx.Tx, key, payload string) {
	_, err := tx.Exec(context.Background(), `SELECT tandem.lock_key($1), tandem.add('orders', $2::text, $1)`, key, payload)
	require.NoError(w, err)
}

func (w *windows) end(open *writer, commit bool) {
	if commit {
		require.NoError(w, open.tx.Commit(context.Background()))
		for _, e := range open.wrote {
			w.want[e.Key] = append(w.want[e.Key], e.Payload)
		}
	} else {
		require.NoError(w, open.tx.Rollback(context.Background()))
	}
	for key, owner := range w.locks {
		if owner == open {
			delete(w.locks, key)
		}
	}
}

// relay lets a relay publish what is there, or kills it on the way.
func (w *windows) relay() {
	w.start(rapid.SampledFrom([]int{0, 0, 1, 2, 5, 11}).Draw(w.T, "killed after"))
}

// start runs a relay until nothing is left, or until it is killed with so many
// events acknowledged.
func (w *windows) start(killedAfter int) {
	r, err := relay.New(relay.Config{
		Database: w.database, Publisher: w.published, Lease: time.Minute, UntilEmpty: true, Logger: slog.New(slog.DiscardHandler),
		PageEvents:  rapid.IntRange(1, 7).Draw(w.T, "page"),
		BatchEvents: rapid.IntRange(1, 3).Draw(w.T, "batch"),
		SaveEvery:   rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Hour}).Draw(w.T, "save"),
	})
	require.NoError(w, err)
	left := killedAfter
	w.published.fail = func(_ string, _ int, events []*relay.Event) error {
		if killedAfter == 0 {
			return nil
		}
		if left -= len(events); left < 0 {
			r.Abort()
			return errors.New("killed")
		}
		return nil
	}
	if err := r.Run(context.Background()); err != nil {
		require.Less(w, left, 0, "%v", err)
		w.killed = true
		_, err := w.log.pool.Exec(context.Background(), `UPDATE tandem.lease SET expires_at = '-infinity'`)
		require.NoError(w, err)
	}
}

func (w *windows) check() {
	times, got := map[string]int{}, map[string][]string{}
	for _, r := range w.published.all() {
		if times[r.Payload]++; times[r.Payload] == 1 {
			got[r.Key] = append(got[r.Key], r.Payload)
		} else {
			require.True(w, w.killed, "%s of %s was published again", r.Payload, r.Key)
			// A repetition begins where a save was, and goes on in order.
			require.True(w, slices.Contains(w.want[r.Key], r.Payload))
		}
	}
	require.Equal(w, w.want, got)
}
