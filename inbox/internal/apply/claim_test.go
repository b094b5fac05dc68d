package apply_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// claimed takes partition 0 of the topic that messages come from.
func claimed(t *testing.T, a *apply.Applier) *apply.Fence {
	t.Helper()
	f, _, err := a.Claim(t.Context(), "orders", 0, "test")
	require.NoError(t, err)
	return f
}

// inHandler begins to apply items, and returns when the handler has made the
// effect of the first of them. Finish lets it end with the error it is given.
func inHandler(t *testing.T, pool *pgxpool.Pool, f *apply.Fence, batch []apply.Item) (finish func(error) error) {
	t.Helper()
	entered, release, done := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := apply.New(config(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			if err := effect(ctx, tx, m); err != nil {
				return err
			}
			close(entered)
			select {
			case err := <-release:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})).Apply(t.Context(), f, batch)
		done <- err
	}()
	select {
	case <-entered:
	case err := <-done:
		require.FailNow(t, "the handler was not called", "%v", err)
	}
	return func(err error) error {
		release <- err
		return <-done
	}
}

func TestEachClaimHasAnEpochOfItsOwn(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	var first int64 // from the clock
	for n := range int64(3) {
		f, changed, err := a.Claim(t.Context(), "orders", 7, "host "+string(rune('a'+n)))
		require.NoError(t, err)
		if n == 0 {
			first = f.Epoch
		}
		require.Equal(t, apply.Fence{Topic: "orders", Partition: 7, Epoch: first + n}, *f)
		require.Zero(t, changed)
	}
	_, err := admin.Exec(t.Context(), `UPDATE tandem.inbox_partition SET changed = 5`)
	require.NoError(t, err)
	f, changed, err := a.Claim(t.Context(), "orders", 7, "host d")
	require.NoError(t, err)
	require.Equal(t, first+3, f.Epoch)
	require.EqualValues(t, 5, changed, "what operators have changed is counted through all claims")
	require.Equal(t, []string{"host d"}, testinbox.Strings(t, admin, `SELECT array_agg(holder) FROM tandem.inbox_partition`))

	claimed(t, a) // another partition
	c := config(pool, effect)
	c.Consumer = "mail"
	_, _, err = apply.New(c).Claim(t.Context(), "orders", 7, "host")
	require.NoError(t, err)
	again, _, err := a.Claim(t.Context(), "orders", 7, "host d")
	require.NoError(t, err)
	require.Equal(t, f.Epoch+1, again.Epoch, "others count for themselves")
	_, err = admin.Exec(t.Context(), `DELETE FROM tandem.inbox_partition`)
	require.NoError(t, err)
	anew, _, err := a.Claim(t.Context(), "orders", 7, "host d")
	require.NoError(t, err)
	require.NotEqual(t, first, anew.Epoch, "an epoch does not come again")
}

func TestAClaimWaitsForTheOwnersTransaction(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	c := config(pool, effect)
	c.LockTimeout = 2 * time.Minute
	a := apply.New(c)
	f := claimed(t, a)
	finish := inHandler(t, pool, f, items(messages("a")))
	taken := make(chan error, 1)
	var epoch int64
	go func() {
		f, _, err := a.Claim(t.Context(), "orders", 0, "the next one")
		if err == nil {
			epoch = f.Epoch
		}
		taken <- err
	}()
	testinbox.AwaitBlocked(t, admin, 1)
	require.NoError(t, finish(nil), "the owner may finish what it has begun")
	require.NoError(t, <-taken)
	require.Equal(t, f.Epoch+1, epoch)
	require.Equal(t, []string{"a"}, testinbox.Strings(t, admin, allEffects))
}

func TestAClaimGivesUpAfterLockTimeout(t *testing.T) {
	t.Parallel()
	_, pool := databases(t)
	c := config(pool, effect)
	a := apply.New(c)
	f := claimed(t, a)
	finish := inHandler(t, pool, f, items(messages("a")))
	c.LockTimeout = 20 * time.Millisecond
	_, _, err := apply.New(c).Claim(t.Context(), "orders", 0, "the next one")
	require.Error(t, err)
	require.True(t, apply.Conflict(err), err)
	require.NoError(t, finish(nil))
	require.Equal(t, f.Epoch+1, claimed(t, a).Epoch, "what gave up has not counted")
}

// Whether the partition has another owner, or an operator has deleted the claim.
func TestWhoLostItsClaimDoesNothing(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, admin *pgxpool.Pool, a *apply.Applier){
		"another owner": func(t *testing.T, _ *pgxpool.Pool, a *apply.Applier) { claimed(t, a) },
		"deleted": func(t *testing.T, admin *pgxpool.Pool, _ *apply.Applier) {
			_, err := admin.Exec(t.Context(), `DELETE FROM tandem.inbox_partition`)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			admin, pool := databases(t)
			a := apply.New(config(pool, effect))
			f := claimed(t, a)
			lose(t, admin, a)
			batch := items(messages("a", "b", "c"))
			batch[1].Verdict = parked("")
			batch[2].Verdict = &apply.Verdict{State: apply.Skipped}
			_, err := a.Apply(t.Context(), f, batch)
			require.ErrorIs(t, err, apply.ErrFenced)
			_, err = a.Apply(t.Context(), f, batch[1:2])
			require.ErrorIs(t, err, apply.ErrFenced, "nothing has an id")
			_, _, _, err = a.Heads(t.Context(), f)
			require.ErrorIs(t, err, apply.ErrFenced)
			_, err = a.Changed(t.Context(), f)
			require.ErrorIs(t, err, apply.ErrFenced)
			require.NoError(t, a.Beat(t.Context(), map[apply.Fence]any{*f: map[string]int{"lag": 3}}))
			require.Zero(t, testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_partition WHERE facts <> '{}'`))
			require.Zero(t, recorded(t, admin)+asides(t, admin)+testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_dropped`))
			require.Empty(t, testinbox.Strings(t, admin, allEffects))
		})
	}
}

func TestTheOwnerSeesChangesAndShowsFacts(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	_, err := admin.Exec(t.Context(), `UPDATE tandem.inbox_partition SET changed = 7`)
	require.NoError(t, err)
	result, err := a.Apply(t.Context(), f, items(messages("a")))
	require.NoError(t, err)
	require.Equal(t, apply.Result{Handled: 1, Changed: 7}, result)
	changed, err := a.Changed(t.Context(), f)
	require.NoError(t, err)
	require.EqualValues(t, 7, changed)
	_, _, changed, err = a.Heads(t.Context(), f)
	require.NoError(t, err)
	require.EqualValues(t, 7, changed)

	require.NoError(t, a.Beat(t.Context(), map[apply.Fence]any{*f: map[string]int{"lag": 3}}))
	require.Equal(t, 3, testinbox.Count(t, admin, `SELECT (facts->>'lag')::int FROM tandem.inbox_partition`))
}
