package inbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// store is a database with an inbox: with all rights, and with a consumer's.
func store(t testing.TB) (admin, pool *pgxpool.Pool) {
	t.Helper()
	address := testservers.Migrated(t)
	return testinbox.Pool(t, address), testinbox.Pool(t, testinbox.AsConsumer(t, address))
}

func leaves(t testing.TB, admin *pgxpool.Pool) int {
	t.Helper()
	return testinbox.Count(t, admin, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'tandem.inbox'::regclass`)
}

// dropLeaf lets a leaf be dropped; who may be in the way is gone in a moment.
func dropLeaf(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	require.Eventually(t, func() bool { return testinbox.Count(t, pool, `SELECT tandem.drop_inbox_leaf()`) == 1 }, 30*time.Second, 10*time.Millisecond)
}

// No function of the inbox's upkeep waits for anybody for longer than that, and
// so nobody waits behind it.
func TestUpkeepGivesWay(t *testing.T) {
	t.Parallel()
	admin, _ := store(t)
	require.Equal(t, []string{"drop_inbox_leaf", "expire_inbox", "maintain_inbox"}, testinbox.Strings(t, admin,
		`SELECT array_agg(proname::text ORDER BY proname) FROM pg_proc WHERE prosecdef AND 'lock_timeout=10ms' = ANY (proconfig) AND proname LIKE '%inbox%'`))
}

// While leaves are made and emptied, transactions of other ids go on.
func TestOthersGoOnDuringMaintenance(t *testing.T) {
	t.Parallel()
	admin, pool := store(t)
	leaf, old := oldLeaf(t, admin)
	_, err := once(t, pool, "billing", old)
	require.NoError(t, err)
	loseLastLeaf(t, admin)
	shortenRetention(t, admin)
	keeper, err := admin.Begin(t.Context())
	require.NoError(t, err)
	var made, emptied int
	require.NoError(t, keeper.QueryRow(t.Context(), `SELECT made, emptied FROM tandem.maintain_inbox()`).Scan(&made, &emptied))
	require.Equal(t, []int{1, 1}, []int{made, emptied})

	for _, id := range []string{testinbox.V7At(time.Now()), "foreign"} {
		first, err := once(t, pool, "billing", id)
		require.NoError(t, err)
		require.True(t, first)
	}
	made, emptied = maintain(t, pool)
	require.Equal(t, []int{0, 0}, []int{made, emptied}, "another one is at it")
	require.Zero(t, testinbox.Count(t, pool, `SELECT tandem.drop_inbox_leaf()`))
	require.NoError(t, keeper.Commit(t.Context()))
	require.Zero(t, testinbox.Count(t, admin, `SELECT count(*) FROM `+leaf))
}

// A leaf is dropped when it is empty, has been below the floor for a month, and
// nobody is using the inbox; nobody is made to wait for that.
func TestEmptyLeavesAreDroppedWhenNobodyIsInTheWay(t *testing.T) {
	t.Parallel()
	admin, pool := store(t)
	before := leaves(t, admin)
	require.Zero(t, testinbox.Count(t, pool, `SELECT tandem.drop_inbox_leaf()`), "all are of use")
	leaf, old := oldLeaf(t, admin)
	_, err := once(t, pool, "billing", old)
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), `SELECT setval('tandem.inbox_floor', floor(extract(epoch FROM now() + interval '35 days') * 1000)::bigint)`)
	require.NoError(t, err)
	require.Zero(t, testinbox.Count(t, pool, `SELECT tandem.drop_inbox_leaf()`), "it is not empty")
	_, err = admin.Exec(t.Context(), `TRUNCATE `+leaf)
	require.NoError(t, err)

	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	first, err := inbox.Once(t.Context(), tx, "billing", testinbox.V7At(time.Now().AddDate(0, 3, 0)))
	require.NoError(t, err)
	require.True(t, first)
	require.Zero(t, testinbox.Count(t, pool, `SELECT tandem.drop_inbox_leaf()`), "somebody uses the inbox")
	require.NoError(t, tx.Commit(t.Context()))

	dropLeaf(t, pool)
	require.Equal(t, before-1, leaves(t, admin))
	_, err = once(t, pool, "billing", old)
	require.ErrorIs(t, err, inbox.ErrTooOld)
	for range leaves(t, admin) {
		if testinbox.Count(t, pool, `SELECT tandem.drop_inbox_leaf()`) == 0 {
			break
		}
	}
	require.Equal(t, 1, testinbox.Count(t, pool, `SELECT count(*) FROM tandem.inbox`), "what is above the floor stays")
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		first, err = inbox.Once(t.Context(), tx, "billing", testinbox.V7At(time.Now().AddDate(0, 2, 0)))
		return err
	}))
	require.True(t, first)
}

// age makes what a consumer recorded old.
func age(t testing.TB, admin *pgxpool.Pool, table, by string) {
	t.Helper()
	_, err := admin.Exec(t.Context(), `UPDATE tandem.`+table+` SET received_at = now() - $1::interval`, by)
	require.NoError(t, err)
}

func expire(t testing.TB, pool *pgxpool.Pool, batch int) int {
	t.Helper()
	return testinbox.Count(t, pool, `SELECT tandem.expire_inbox($1)`, batch)
}

func TestForeignIdsExpireInBatches(t *testing.T) {
	t.Parallel()
	admin, pool := store(t)
	_, err := admin.Exec(t.Context(), `
		INSERT INTO tandem.inbox_foreign SELECT 'billing', n::text FROM generate_series(1, 25) AS n;
		INSERT INTO tandem.inbox_late SELECT 'billing', gen_random_uuid() FROM generate_series(1, 5);
		INSERT INTO tandem.inbox_dropped (consumer, topic, partition, position, kind) SELECT 'billing', 'orders', 0, n, 'skipped' FROM generate_series(1, 5) AS n`)
	require.NoError(t, err)
	for _, table := range []string{"inbox_foreign", "inbox_late", "inbox_dropped"} {
		age(t, admin, table, "89 days")
	}
	require.Zero(t, expire(t, pool, 10))
	for _, table := range []string{"inbox_foreign", "inbox_late", "inbox_dropped"} {
		age(t, admin, table, "91 days")
	}
	_, err = once(t, pool, "billing", "young")
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), `INSERT INTO tandem.inbox_answer (consumer, scope, key, fingerprint, status, headers, body, expires_at)
		VALUES ('shop', '', 'old', '', 200, '', '', now() - interval '1 second'), ('shop', '', 'young', '', 200, '', '', now() + interval '1 hour')`)
	require.NoError(t, err)
	require.Equal(t, 10+5+5+1, expire(t, pool, 10))
	require.Equal(t, 10, expire(t, pool, 10))
	require.Equal(t, 5, expire(t, pool, 10))
	require.Zero(t, expire(t, pool, 10))
	require.Equal(t, []string{"young"}, testinbox.Strings(t, admin, `SELECT array_agg(message_id) FROM tandem.inbox_foreign`))
	require.Equal(t, []string{"young"}, testinbox.Strings(t, admin, `SELECT array_agg(key) FROM tandem.inbox_answer`))
	_, err = pool.Exec(t.Context(), `SELECT tandem.expire_inbox(0)`)
	require.ErrorContains(t, err, "the batch is 0")
}

// An id comes again at the moment when its row is being deleted: it waits, and is
// new only if the row is gone.
func TestAForeignIDThatComesWhileItExpires(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"committed": true, "rolled back": false} {
		admin, pool := store(t)
		_, err := once(t, pool, "billing", "payment 1")
		require.NoError(t, err)
		age(t, admin, "inbox_foreign", "91 days")
		keeper, err := admin.Begin(t.Context())
		require.NoError(t, err)
		var deleted int
		require.NoError(t, keeper.QueryRow(t.Context(), `SELECT tandem.expire_inbox()`).Scan(&deleted))
		require.Equal(t, 1, deleted)
		require.Zero(t, expire(t, pool, 10), "two of them pass each other by")

		answers := make(chan bool, 2)
		for range 2 {
			go func() {
				var first bool
				err := pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) (err error) {
					first, err = inbox.Once(context.Background(), tx, "billing", "payment 1")
					return err
				})
				if err != nil {
					t.Error(err)
				}
				answers <- first
			}()
		}
		testinbox.AwaitBlocked(t, admin, 2)
		if gone {
			require.NoError(t, keeper.Commit(t.Context()))
		} else {
			require.NoError(t, keeper.Rollback(t.Context()))
		}
		one, other := <-answers, <-answers
		require.False(t, one && other, name)
		require.Equal(t, gone, one || other, name)
		require.Equal(t, 1, testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_foreign`))
	}
}
