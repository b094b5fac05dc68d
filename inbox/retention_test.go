package inbox_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// oldLeaf is the oldest leaf of a new inbox, and an id that lives in it.
func oldLeaf(t testing.TB, admin *pgxpool.Pool) (leaf, id string) {
	t.Helper()
	var floor time.Time
	require.NoError(t, admin.QueryRow(t.Context(), `SELECT tandem.inbox_floor_time()`).Scan(&floor))
	return "tandem.inbox_" + floor.UTC().Format("20060102"), testinbox.V7At(floor.Add(time.Hour))
}

func shortenRetention(t testing.TB, admin *pgxpool.Pool) {
	t.Helper()
	_, err := admin.Exec(t.Context(), `UPDATE tandem.inbox_bounds SET retention = '1 day'`)
	require.NoError(t, err)
}

func maintain(t testing.TB, pool *pgxpool.Pool) (made, emptied int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT made, emptied FROM tandem.maintain_inbox()`).Scan(&made, &emptied))
	return made, emptied
}

// empty maintains the inbox until a leaf has been emptied: a vacuum of it may be
// in the way for a moment.
func empty(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, emptied := maintain(t, pool)
		return emptied == 1
	}, 30*time.Second, 10*time.Millisecond)
}

func TestOldIdsAreForgottenAndThenRefused(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	admin, pool := testinbox.Pool(t, address), testinbox.Pool(t, testinbox.AsConsumer(t, address))
	leaf, old := oldLeaf(t, admin)
	recent := testinbox.V7At(time.Now())
	for _, id := range []string{old, recent} {
		first, err := once(t, pool, "billing", id)
		require.NoError(t, err)
		require.True(t, first)
	}
	_, emptied := maintain(t, pool)
	require.Zero(t, emptied, "nothing is older than 14 days and the rest of its week")

	shortenRetention(t, admin)
	empty(t, pool)
	require.Zero(t, testinbox.Count(t, admin, `SELECT count(*) FROM `+leaf))

	_, err := once(t, pool, "billing", old)
	require.ErrorIs(t, err, inbox.ErrTooOld)
	first, err := once(t, pool, "billing", recent)
	require.NoError(t, err)
	require.False(t, first, "what is younger than the retention is remembered")
	_, emptied = maintain(t, pool)
	require.Zero(t, emptied, "an empty leaf is left alone")
}

// The inbox of a service that sleeps for two years has room again at once.
func TestLeavesAreMadeAhead(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	admin, pool := testinbox.Pool(t, address), testinbox.Pool(t, testinbox.AsConsumer(t, address))
	_, err := admin.Exec(t.Context(), `DO $$
		DECLARE leaf regclass;
		BEGIN
			FOR leaf IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'tandem.inbox'::regclass LOOP
				EXECUTE 'DROP TABLE ' || leaf;
			END LOOP;
			UPDATE tandem.inbox_bounds SET ceiling = ceiling - interval '102 weeks';
		END $$`)
	require.NoError(t, err)
	_, err = once(t, pool, "billing", testinbox.V7At(time.Now()))
	require.ErrorIs(t, err, inbox.ErrTooNew)

	var calls sync.WaitGroup
	var mu sync.Mutex
	var total int
	for range 8 {
		calls.Go(func() {
			var made, emptied int
			err := pool.QueryRow(context.Background(), `SELECT made, emptied FROM tandem.maintain_inbox()`).Scan(&made, &emptied)
			mu.Lock()
			defer mu.Unlock()
			total += made
			if err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	require.Equal(t, testinbox.Count(t, admin, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'tandem.inbox'::regclass`), total,
		"calls at the same time make every leaf once")
	first, err := once(t, pool, "billing", testinbox.V7At(time.Now().AddDate(0, 11, 0)))
	require.NoError(t, err)
	require.True(t, first)
}

// A transaction that works in an old leaf keeps it from being emptied, and is
// not disturbed.
func TestALeafInUseIsLeftAlone(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	admin, pool := testinbox.Pool(t, address), testinbox.Pool(t, testinbox.AsConsumer(t, address))
	leaf, old := oldLeaf(t, admin)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	first, err := inbox.Once(t.Context(), tx, "billing", old)
	require.NoError(t, err)
	require.True(t, first)

	shortenRetention(t, admin)
	_, emptied := maintain(t, admin)
	require.Zero(t, emptied)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 1, testinbox.Count(t, admin, `SELECT count(*) FROM `+leaf))
	_, err = once(t, pool, "billing", old)
	require.ErrorIs(t, err, inbox.ErrTooOld, "the floor was raised all the same")
	empty(t, admin) // the next call
}

// An id must not count as new because its leaf was emptied between Once's look
// at the floor and its insert; nor because a snapshot is older than all that.
func TestAnIDOfAnEmptiedLeafIsNeverNew(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		address := testservers.Migrated(t)
		admin, pool := testinbox.Pool(t, address), testinbox.Pool(t, testinbox.AsConsumer(t, address))
		leaf, old := oldLeaf(t, admin)
		_, err := once(t, pool, "billing", old)
		require.NoError(t, err)
		shortenRetention(t, admin)

		begin := func() pgx.Tx {
			tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `SELECT count(*) FROM tandem.settings`) // takes the snapshot
			require.NoError(t, err)
			return tx
		}
		before, during := begin(), begin()

		keeper, err := admin.Begin(t.Context())
		require.NoError(t, err)
		_, err = keeper.Exec(t.Context(), `LOCK TABLE `+leaf+` IN ACCESS EXCLUSIVE MODE`)
		require.NoError(t, err)
		answer := make(chan error, 1)
		go func() {
			_, err := inbox.Once(context.Background(), during, "billing", old)
			answer <- err
		}()
		testinbox.AwaitBlocked(t, admin, 1)
		var emptied int
		require.NoError(t, keeper.QueryRow(t.Context(), `SELECT emptied FROM tandem.maintain_inbox()`).Scan(&emptied))
		require.Equal(t, 1, emptied)
		require.NoError(t, keeper.Commit(t.Context()))
		require.ErrorIs(t, <-answer, inbox.ErrTooOld, level)
		require.NoError(t, during.Rollback(t.Context()))

		_, err = inbox.Once(t.Context(), before, "billing", old)
		require.ErrorIs(t, err, inbox.ErrTooOld, level)
		require.NoError(t, before.Rollback(t.Context()))
	}
}
