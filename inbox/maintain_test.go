package inbox_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/inboxtest"
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
		return leaves(t, admin) == before+1 && inboxtest.Count(t, admin, `SELECT count(*) FROM tandem.inbox_foreign`) == 0
	}, 30*time.Second, 10*time.Millisecond)
	cancel()
	running.Wait()
}

func TestMaintainNeedsADatabase(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, inbox.Maintain(t.Context(), nil, nil), "db is nil")
	require.ErrorContains(t, inbox.Maintain(t.Context(), (*pgxpool.Pool)(nil), nil), "db is nil")
}
