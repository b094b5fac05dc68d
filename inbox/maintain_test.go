package inbox_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// Several processes of a service look after the storage at once, until they stop.
func TestMaintain(t *testing.T) {
	t.Parallel()
	admin, pool := store(t)
	loseLastLeaf(t, admin)
	before := leaves(t, admin)
	_, err := once(t, pool, "billing", "foreign")
	require.NoError(t, err)
	age(t, admin, "inbox_foreign", "91 days")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			if err := inbox.Maintain(ctx, pool, log); err != nil {
				t.Error(err)
			}
		})
	}
	require.Eventually(t, func() bool {
		return leaves(t, admin) == before+1 && testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_foreign`) == 0
	}, 30*time.Second, 10*time.Millisecond)
	cancel()
	running.Wait()
}

func TestMaintainNeedsADatabase(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, inbox.Maintain(t.Context(), nil, nil), "db is nil")
	require.ErrorContains(t, inbox.Maintain(t.Context(), (*pgxpool.Pool)(nil), nil), "db is nil")
}

// Stopped at any moment it returns, and leaves no session of the pool in use.
func TestMaintainMayBeStoppedAtAnyMoment(t *testing.T) {
	t.Parallel()
	admin, pool := store(t)
	_, err := admin.Exec(t.Context(), `INSERT INTO tandem.inbox_foreign SELECT 'billing', n::text, now() - interval '91 days' FROM generate_series(1, 2000) AS n`)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(7, 8)) //nolint:gosec // to be repeated
	for range 300 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(5000))*time.Microsecond)
		require.NoError(t, inbox.Maintain(ctx, pool, slog.New(slog.DiscardHandler)))
		cancel()
	}
	// The pool closes in the background what was interrupted.
	require.Eventually(t, func() bool { return pool.Stat().AcquiredConns() == 0 }, 30*time.Second, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = inbox.Maintain(ctx, pool, slog.New(slog.DiscardHandler)) })
	require.Eventually(t, func() bool { return testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_foreign`) == 0 }, 30*time.Second, 10*time.Millisecond)
	cancel()
	running.Wait()
}
