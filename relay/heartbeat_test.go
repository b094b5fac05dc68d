package relay_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay/internal/facts"
)

// awaitRow waits until a row of tandem.relay satisfies the condition.
func (l *log) awaitRow(t *testing.T, condition string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool {
		return l.int(t, `SELECT count(*) FROM tandem.relay WHERE `+condition, args...) > 0
	}, 30*time.Second, 20*time.Millisecond, condition)
}

func (l *log) facts(t *testing.T, state string) facts.Facts {
	t.Helper()
	var text []byte
	require.NoError(t, l.pool.QueryRow(t.Context(), `SELECT facts FROM tandem.relay WHERE state = $1`, state).Scan(&text))
	var f facts.Facts
	require.NoError(t, json.Unmarshal(text, &f))
	return f
}

// Each relay has its row while it runs, and a clean stop takes it away.
func TestEveryRelayKeepsARow(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.Holder, cfg.Version, cfg.Lease = "first", "v1", 6*time.Second
	_, stop := start(t, cfg)
	l.awaitRow(t, `holder = 'first' AND version = 'v1' AND state = 'relaying'`)
	cfg.Holder = "second"
	_, stopSecond := start(t, cfg)
	l.awaitRow(t, `holder = 'second' AND state = 'standby'`)
	l.fill(t, "orders", 100)
	m.await(t, 100)
	l.awaitRow(t, `holder = 'first' AND (facts -> 'term' ->> 'read_position')::bigint = 100 AND facts -> 'term' -> 'in_flight' = '0'`)
	f := l.facts(t, "relaying")
	require.EqualValues(t, 100, f.Stats["published"])
	require.EqualValues(t, 100, f.Term.AcknowledgedPosition)
	require.EqualValues(t, 2, f.BeatSeconds)
	require.Nil(t, l.facts(t, "standby").Term)
	require.NoError(t, stop())
	l.awaitRow(t, `holder = 'second' AND state = 'relaying'`)
	require.Zero(t, l.int(t, `SELECT count(*) FROM tandem.relay WHERE holder = 'first'`))
	require.NoError(t, stopSecond())
	require.Zero(t, l.int(t, `SELECT count(*) FROM tandem.relay`))
}

// Rows of relays that were killed go away after a day, those of an hour ago stay.
func TestOldRowsAreSwept(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.exec(t, `INSERT INTO tandem.relay (owner, holder, state, seen_at) VALUES
		(gen_random_uuid(), 'killed long ago', 'standby', now() - interval '25 hours'),
		(gen_random_uuid(), 'killed just now', 'relaying', now() - interval '1 hour')`)
	cfg := l.config(t, newMemory(1))
	cfg.Holder = "here"
	start(t, cfg)
	l.awaitRow(t, `holder = 'here'`)
	require.Zero(t, l.int(t, `SELECT count(*) FROM tandem.relay WHERE holder = 'killed long ago'`))
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.relay WHERE holder = 'killed just now'`))
}

// Somebody holds the table for as long as he likes: the relay goes on.
func TestABeatThatFailsEndsNothing(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	tx, err := l.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `LOCK TABLE tandem.relay IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	m := newMemory(3)
	said := &recorder{}
	cfg := l.config(t, m)
	cfg.Logger = said.logger(t)
	_, stop := start(t, cfg)
	l.fill(t, "orders", 100)
	m.await(t, 100)
	require.Eventually(t, func() bool { return said.count("cannot write this relay's row") == 1 }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, tx.Rollback(t.Context()))
	l.awaitRow(t, `state = 'relaying'`)
	require.Equal(t, 1, l.int(t, `SELECT epoch FROM tandem.lease`), "the lease was never lost")
	require.Eventually(t, func() bool { return said.count("tandem status sees this relay again") == 1 }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, stop())
}

// An idle relay stays below 50 statements a second, with all that it does.
func TestAnIdleRelayAsksLittle(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	cfg := l.config(t, newMemory(1))
	cfg.Lease = 5 * time.Second
	counter := &statementCounter{}
	cfg.Database.Tracer = counter
	start(t, cfg)
	l.awaitRow(t, `state = 'relaying'`)
	// Polls back off for a moment; what is counted is what comes after.
	var rate float64
	require.Eventually(t, func() bool {
		rate = counter.rate(2 * time.Second)
		return counter.age() > 4*time.Second && rate < 50
	}, 30*time.Second, 100*time.Millisecond)
	t.Logf("%.1f statements a second", rate)
	require.Positive(t, rate, "it is counted at all")
}
