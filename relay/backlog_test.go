package relay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// The broker is away: the backlog is measured, the limits that it passes are
// said once, and once again when it is gone.
func TestABacklogIsMeasuredAndWarnedOf(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.exec(t, `INSERT INTO tandem.log (created_at, topic, payload) SELECT now() - interval '1 hour', 'orders', repeat('x', 100)::bytea FROM generate_series(1, 3000)`)
	m := newMemory(1)
	m.fail = func(string, int, []*relay.Event) error { return errors.New("the broker is away") }
	said := &recorder{}
	cfg := l.config(t, m)
	cfg.Logger = said.logger(t)
	cfg.PageBytes, cfg.BytesInFlight = 100_000, 200_000
	cfg.WarnBacklogBytes, cfg.WarnBacklogAge, cfg.DiskBytes = 100_000, 10*time.Minute, 1<<30
	idle, err := relay.New(cfg)
	require.NoError(t, err)
	require.Zero(t, idle.Backlog().Measured)
	r, _ := start(t, cfg)
	require.Eventually(t, func() bool { return !r.Backlog().Measured.IsZero() }, 30*time.Second, 10*time.Millisecond)
	b := r.Backlog()
	require.EqualValues(t, 3000, b.Unsaved, "3,000 positions were drawn")
	require.True(t, b.Estimated)
	require.EqualValues(t, 300_000, b.Bytes)
	require.InDelta(t, time.Hour, b.Age, float64(time.Minute))
	require.Greater(t, b.LogBytes, int64(300_000))
	require.Equal(t, 1, b.Leaves)
	require.Len(t, b.Warnings, 2)
	require.Equal(t, 1, said.count("grown past the limit"))
	require.Equal(t, 1, said.count("older than the limit"))
	require.Eventually(t, func() bool { return r.Backlog().InFlight > 0 }, 30*time.Second, 10*time.Millisecond)

	m.mu.Lock()
	m.fail = nil
	m.mu.Unlock()
	m.await(t, 3000)
	require.Eventually(t, func() bool { return said.count("younger than the limit") == 1 }, 30*time.Second, 10*time.Millisecond)
	b = r.Backlog()
	require.Zero(t, b.Unsaved+b.Unread+b.Bytes)
	require.Zero(t, b.Age)
	require.Zero(t, b.InFlight)
	require.Len(t, b.Warnings, 1, "the leaf being written is not given back")
}
