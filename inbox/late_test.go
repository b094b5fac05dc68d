package inbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// loseLastLeaf makes an inbox one that has not been maintained for a week, and
// returns an id that has no leaf therefore.
func loseLastLeaf(t testing.TB, admin *pgxpool.Pool) (id string) {
	t.Helper()
	var ceiling time.Time
	require.NoError(t, admin.QueryRow(t.Context(), `UPDATE tandem.inbox_bounds SET ceiling = ceiling - interval '168 hours' RETURNING ceiling`).Scan(&ceiling))
	_, err := admin.Exec(t.Context(), `DROP TABLE tandem.inbox_`+ceiling.UTC().Format("20060102"))
	require.NoError(t, err)
	return testinbox.V7At(ceiling.Add(time.Hour))
}

func process(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	require.NoError(t, inbox.SetPolicy(t.Context(), pool, "billing", inbox.Process))
}

// makeLeaf maintains the inbox until the missing leaf is there.
func makeLeaf(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	require.Eventually(t, func() bool {
		made, _ := maintain(t, pool)
		return made == 1
	}, 30*time.Second, 10*time.Millisecond)
}

var levels = []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}

// begin returns a transaction whose snapshot, if it keeps one, is of now.
func begin(t testing.TB, pool *pgxpool.Pool, level pgx.TxIsoLevel) pgx.Tx {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), `SELECT count(*) FROM tandem.settings`)
	require.NoError(t, err)
	return tx
}

// serialization tells whether the transaction is to be repeated, which is as good
// as false in the higher levels.
func serialization(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "40001"
}

func TestThePolicyDecidesAboutUnprovableIds(t *testing.T) {
	t.Parallel()
	admin, pool := store(t)
	old, future := testinbox.V7At(time.Now().AddDate(-1, 0, 0)), testinbox.V7At(time.Now().AddDate(3, 0, 0))
	for _, id := range []string{old, future} {
		_, err := once(t, pool, "billing", id)
		require.Error(t, err, "the default")
	}
	process(t, pool)
	for _, id := range []string{old, future} {
		for _, want := range []bool{true, false, false} {
			first, err := once(t, pool, "billing", id)
			require.NoError(t, err)
			require.Equal(t, want, first)
		}
		_, err := once(t, pool, "shipping", id)
		require.Error(t, err, "another consumer has its own policy")
	}
	require.Equal(t, 2, testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_late`))

	age(t, admin, "inbox_late", "91 days")
	require.Equal(t, 2, expire(t, pool, 10))
	first, err := once(t, pool, "billing", old)
	require.NoError(t, err)
	require.True(t, first, "forgotten after 90 days: it cannot be proved new, and is processed by this policy")

	require.NoError(t, inbox.SetPolicy(t.Context(), pool, "billing", inbox.Refuse))
	_, err = once(t, pool, "billing", old)
	require.ErrorIs(t, err, inbox.ErrTooOld)
}

func TestSetPolicyRefuses(t *testing.T) {
	t.Parallel()
	_, pool := store(t)
	require.ErrorIs(t, inbox.SetPolicy(t.Context(), pool, "", inbox.Process), inbox.ErrInvalid)
	require.ErrorContains(t, inbox.SetPolicy(t.Context(), pool, "billing", "maybe"), `"maybe"`)
	require.ErrorContains(t, inbox.SetPolicy(t.Context(), (*pgxpool.Pool)(nil), "billing", inbox.Process), "db is nil")
	for statement, says := range map[string]string{
		`SELECT tandem.set_inbox_policy('billing', 'maybe')`: "it must be 'refuse' or 'process'",
		`SELECT tandem.set_inbox_policy('billing', NULL)`:    "the policy is NULL",
		`SELECT tandem.set_inbox_policy('', 'process')`:      "0 bytes",
	} {
		_, err := pool.Exec(t.Context(), statement)
		require.ErrorContains(t, err, says)
	}
}

// An id that came before there was a leaf for it is known when there is one.
func TestALateIDIsKnownToTheLeafThatIsMadeForIt(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		admin, pool := store(t)
		process(t, pool)
		id := loseLastLeaf(t, admin)
		first, err := once(t, pool, "billing", id)
		require.NoError(t, err)
		require.True(t, first)
		makeLeaf(t, pool)
		first, err = inbox.Once(t.Context(), begin(t, pool, level), "billing", id)
		require.NoError(t, err)
		require.False(t, first)
		first, err = once(t, pool, "shipping", id)
		require.NoError(t, err)
		require.True(t, first)
		age(t, admin, "inbox_late", "91 days")
		require.Equal(t, 1, expire(t, pool, 10))
		first, err = once(t, pool, "billing", id)
		require.NoError(t, err)
		require.False(t, first, "the leaf remembers it")
	}
}

// No leaf is made under the feet of who is recording an id that has none: the same
// id would be new in it.
func TestLeavesWaitForLateIds(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		admin, pool := store(t)
		process(t, pool)
		id := loseLastLeaf(t, admin)
		tx := begin(t, pool, level)
		first, err := inbox.Once(t.Context(), tx, "billing", id)
		require.NoError(t, err)
		require.True(t, first)
		made, _ := maintain(t, pool)
		require.Zero(t, made, "it gives way")
		require.NoError(t, tx.Commit(t.Context()))
		makeLeaf(t, pool)
		first, err = once(t, pool, "billing", id)
		require.NoError(t, err)
		require.False(t, first)
	}
}

// The leaf is made, and the id processed by it, while somebody still sees none:
// he looked before, or his snapshot is older than that.
func TestAnIDIsNotNewTwiceWhenItsLeafIsMade(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		admin, pool := store(t)
		process(t, pool)
		id := loseLastLeaf(t, admin)
		earlier, waits := begin(t, pool, level), begin(t, pool, level)
		keeper, err := admin.Begin(t.Context())
		require.NoError(t, err)
		_, err = keeper.Exec(t.Context(), `SELECT tandem.maintain_inbox()`)
		require.NoError(t, err)
		type result struct {
			first bool
			err   error
		}
		answer := make(chan result, 1)
		go func() {
			first, err := inbox.Once(context.Background(), waits, "billing", id)
			if err == nil {
				err = waits.Commit(context.Background())
			}
			answer <- result{first, err}
		}()
		testinbox.AwaitBlocked(t, admin, 1)
		require.NoError(t, keeper.Commit(t.Context()))
		trueTimes := 0
		for range 2 {
			first, err := once(t, pool, "billing", id)
			require.NoError(t, err)
			if first {
				trueTimes++
			}
		}
		waited := <-answer
		if waited.err == nil && waited.first {
			trueTimes++
		}
		require.True(t, waited.err == nil || serialization(waited.err), "%s: %v", level, waited.err)
		first, err := inbox.Once(t.Context(), earlier, "billing", id)
		require.True(t, serialization(err) || err == nil && !first, "%s: %v, %v", level, first, err)
		require.Equal(t, 1, trueTimes, level)
	}
}

// The policy is for what cannot be proved new. What an old leaf still has is known
// not to be.
func TestAnOldLeafThatIsNotEmptiedYetStillKnowsItsIds(t *testing.T) {
	t.Parallel()
	admin, pool := store(t)
	process(t, pool)
	leaf, known := oldLeaf(t, admin)
	_, unknown := oldLeaf(t, admin)
	_, err := once(t, pool, "billing", known)
	require.NoError(t, err)
	shortenRetention(t, admin)
	inUse, err := admin.Begin(t.Context())
	require.NoError(t, err)
	_, err = inUse.Exec(t.Context(), `LOCK TABLE `+leaf+` IN ROW EXCLUSIVE MODE`)
	require.NoError(t, err)
	_, emptied := maintain(t, pool)
	require.Zero(t, emptied)
	require.NoError(t, inUse.Commit(t.Context()))

	first, err := once(t, pool, "billing", known)
	require.NoError(t, err)
	require.False(t, first)
	first, err = once(t, pool, "billing", unknown)
	require.NoError(t, err)
	require.True(t, first)
	empty(t, pool)
	for _, id := range []string{known, unknown} {
		first, err = once(t, pool, "billing", id)
		require.NoError(t, err)
		require.False(t, first, "inbox_late remembers it")
	}
}

// By the policy process, an id whose leaf is emptied while it is being recorded
// counts once too.
func TestAnIDOfALeafThatIsBeingEmptiedIsProcessedOnce(t *testing.T) {
	t.Parallel()
	for _, level := range levels {
		admin, pool := store(t)
		process(t, pool)
		leaf, old := oldLeaf(t, admin)
		_, err := once(t, pool, "shipping", old) // so that there is something to empty
		require.NoError(t, err)
		shortenRetention(t, admin)
		during := begin(t, pool, level)
		keeper, err := admin.Begin(t.Context())
		require.NoError(t, err)
		_, err = keeper.Exec(t.Context(), `LOCK TABLE `+leaf+` IN ACCESS EXCLUSIVE MODE`)
		require.NoError(t, err)
		answer := make(chan bool, 1)
		go func() {
			first, err := inbox.Once(context.Background(), during, "billing", old)
			if err == nil {
				err = during.Commit(context.Background())
			}
			if err != nil {
				t.Error(err)
			}
			answer <- first
		}()
		testinbox.AwaitBlocked(t, admin, 1)
		_, err = keeper.Exec(t.Context(), `SELECT tandem.maintain_inbox()`)
		require.NoError(t, err)
		require.NoError(t, keeper.Commit(t.Context()))
		require.True(t, <-answer, level)
		first, err := once(t, pool, "billing", old)
		require.NoError(t, err)
		require.False(t, first, level)
	}
}
