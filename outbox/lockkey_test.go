package outbox_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

// holds tells whether conn's transaction would have to wait for the key.
func holds(t testing.TB, other *pgx.Conn, key string) bool {
	t.Helper()
	tx, err := other.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), "SET LOCAL lock_timeout = '50ms'")
	require.NoError(t, err)
	err = outbox.LockKey(t.Context(), tx, key)
	if err == nil {
		return false
	}
	require.Equal(t, "55P03", sqlState(t, err))
	return true
}

func TestLockKeyHoldsUntilTheEnd(t *testing.T) {
	t.Parallel()
	address := asWriter(t, testservers.Migrated(t))
	conn, other := connect(t, address), connect(t, address)
	tx := begin(t, conn)
	require.NoError(t, outbox.LockKey(t.Context(), tx, "a", "", "b", "a"))
	require.True(t, holds(t, other, "a"))
	require.True(t, holds(t, other, "b"))
	require.False(t, holds(t, other, "c"))
	require.False(t, holds(t, other, ""), "an empty key is no key")
	require.NoError(t, tx.Commit(t.Context()))
	require.False(t, holds(t, other, "a"))

	db, err := sql.Open("postgres", address)
	require.NoError(t, err)
	defer db.Close()
	onSQL, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = onSQL.Rollback() }()
	require.NoError(t, outboxsql.LockKey(t.Context(), onSQL))
	require.NoError(t, outboxsql.LockKey(t.Context(), onSQL, `a "quoted", \ key`, "NULL"))
	require.True(t, holds(t, other, `a "quoted", \ key`))
	require.True(t, holds(t, other, "NULL"))
}

// Each reads what the last one wrote, adds one, and announces it: without the
// lock the counts, and their order in the log, would come to grief.
func TestLockKeySerialisesWriters(t *testing.T) {
	t.Parallel()
	const writers, rounds = 4, 25
	address := testservers.Migrated(t)
	admin := connect(t, address)
	_, err := admin.Exec(t.Context(), `CREATE TABLE public.counts (n int); GRANT ALL ON public.counts TO tandem_writer`)
	require.NoError(t, err)
	group, ctx := errgroup.WithContext(t.Context())
	for range writers {
		conn := connect(t, asWriter(t, address))
		group.Go(func() error {
			for range rounds {
				if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return count(ctx, tx) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	var keys []int
	require.NoError(t, admin.QueryRow(t.Context(), "SELECT array_agg(type::int ORDER BY position) FROM tandem.log").Scan(&keys))
	require.Len(t, keys, writers*rounds)
	require.IsIncreasing(t, keys)
}

func count(ctx context.Context, tx pgx.Tx) error {
	if err := outbox.LockKey(ctx, tx, "counter"); err != nil {
		return err
	}
	var next string
	err := tx.QueryRow(ctx, `INSERT INTO public.counts SELECT coalesce(max(n), 0) + 1 FROM public.counts RETURNING n::text`).Scan(&next)
	if err != nil {
		return err
	}
	return outbox.Add(ctx, tx, outbox.Event{Topic: "counts", Key: "counter", Type: next})
}

// Two who name the same keys in opposite order wait, and never deadlock.
func TestLockKeyOrderOfKeys(t *testing.T) {
	t.Parallel()
	address := asWriter(t, testservers.Migrated(t))
	group, ctx := errgroup.WithContext(t.Context())
	for _, keys := range [][]string{{"a", "b", "c", "d"}, {"d", "c", "b", "a"}} {
		conn := connect(t, address)
		group.Go(func() error {
			for range 200 {
				err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return outbox.LockKey(ctx, tx, keys...) })
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}
