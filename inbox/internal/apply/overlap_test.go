package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// Two consumers that hold the same messages, as after a rebalance: the second
// waits for the first, and its handler sees no error and no message.
func TestOverlappingBatchesHaveOneEffect(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	batch := messages("a", "b", "c", "d")
	entered, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		_, err := applier(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			if string(m.Value) == "b" {
				close(entered)
				<-release
			}
			return effect(ctx, tx, m)
		}).Apply(context.Background(), batch)
		first <- err
	}()
	<-entered
	second := make(chan error, 1)
	var n int
	go func() {
		var err error
		again := slices.Clone(batch)
		slices.Reverse(again)
		n, err = applier(pool, func(context.Context, pgx.Tx, inbox.Message) error {
			return errors.New("a duplicate was handled")
		}).Apply(context.Background(), again)
		second <- err
	}()
	testinbox.AwaitBlocked(t, admin, 1)
	close(release)
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	require.Zero(t, n)
	require.Equal(t, []string{"a", "b", "c", "d"}, testinbox.Strings(t, admin, allEffects))
}

// The consumer that was first fails: the one that waited for it does the work.
func TestAnOverlappingBatchTakesOverWhatWasRolledBack(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	batch := messages("a", "b")
	entered, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		_, err := applier(pool, func(context.Context, pgx.Tx, inbox.Message) error {
			close(entered)
			<-release
			return errors.New("no")
		}).Apply(context.Background(), batch)
		first <- err
	}()
	<-entered
	second := make(chan error, 1)
	go func() {
		_, err := applier(pool, effect).Apply(context.Background(), batch)
		second <- err
	}()
	testinbox.AwaitBlocked(t, admin, 1)
	close(release)
	require.Error(t, <-first)
	require.NoError(t, <-second)
	require.Equal(t, []string{"a", "b"}, testinbox.Strings(t, admin, allEffects))
}

// Handlers of two batches that lock each other's rows: one of them gets a
// deadlock, wraps it, and is repeated without counting as failed.
func TestADeadlockBetweenBatchesRepeatsOne(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	_, err := admin.Exec(t.Context(), `INSERT INTO app.counters (name) VALUES ('x'), ('y')`)
	require.NoError(t, err)
	var met sync.WaitGroup
	met.Add(2)
	var meet [2]sync.Once
	var conflicts int
	var mu sync.Mutex
	run := func(i int, names ...string) error {
		a := applier(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			if _, err := tx.Exec(ctx, `UPDATE app.counters SET value = value + 1 WHERE name = $1`, string(m.Value)); err != nil {
				return fmt.Errorf("count: %w", err)
			}
			meet[i].Do(func() { met.Done(); met.Wait() })
			return nil
		})
		batch := messages(names...)
		for {
			_, err := a.Apply(context.Background(), batch)
			if !apply.Conflict(err) {
				return err
			}
			mu.Lock()
			conflicts++
			mu.Unlock()
		}
	}
	results := make(chan error, 2)
	go func() { results <- run(0, "x", "y") }()
	go func() { results <- run(1, "y", "x") }()
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	require.Positive(t, conflicts)
	require.Equal(t, 4, testinbox.Count(t, admin, `SELECT sum(value) FROM app.counters`))
	require.Equal(t, 4, recorded(t, admin))
}

// The batch path has the same race with an emptied leaf as tandem.once, also where
// it trusts a floor that it has read before.
func TestAnIDOfALeafThatIsBeingEmptiedIsRefused(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"another consumer": false, "the same one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testEmptiedLeaf(t, again)
		})
	}
}

func testEmptiedLeaf(t *testing.T, again bool) {
	admin, pool := databases(t)
	var leaf, old string
	require.NoError(t, admin.QueryRow(t.Context(), `
		UPDATE tandem.inbox_bounds SET retention = '1 day'
		RETURNING 'tandem.inbox_' || to_char(tandem.inbox_floor_time() AT TIME ZONE 'UTC', 'YYYYMMDD'),
		tandem.uuid_at(tandem.inbox_floor_time() + interval '1 hour')::text`).Scan(&leaf, &old))
	batch := append(messages("a"), inbox.Message{ID: old, Offset: 7, Value: []byte("old")})
	a := applier(pool, effect)
	_, err := a.Apply(t.Context(), batch)
	require.NoError(t, err)
	if !again {
		a = applier(pool, effect)
	}

	keeper, err := admin.Begin(t.Context())
	require.NoError(t, err)
	_, err = keeper.Exec(t.Context(), `LOCK TABLE `+leaf+` IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	answer := make(chan error, 1)
	go func() {
		_, err := a.Apply(context.Background(), batch)
		answer <- err
	}()
	testinbox.AwaitBlocked(t, admin, 1)
	_, err = keeper.Exec(t.Context(), `SELECT tandem.maintain_inbox()`)
	require.NoError(t, err)
	require.NoError(t, keeper.Commit(t.Context()))
	err = <-answer
	require.ErrorIs(t, err, inbox.ErrTooOld)
	var f *apply.Failure
	require.ErrorAs(t, err, &f)
	require.Contains(t, f.Refused, 1)
	require.Equal(t, []string{"a", "old"}, testinbox.Strings(t, admin, allEffects))
}

// A message was refused, because no leaf covers its id, and is to be handled all
// the same. Meanwhile the leaf is made and another delivery goes by it.
func TestALateMessageIsKnownToTheLeafThatWasMadeSince(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	batch := messages("a")
	a := apply.New(config(pool, effect))
	result, err := a.Apply(t.Context(), nil, items(batch))
	require.NoError(t, err)
	require.Equal(t, 1, result.Handled)

	late := append(items(batch), items(messages("b"))...)
	for i := range late {
		late[i].Proof = apply.ByLate
	}
	for _, want := range []int{1, 0} {
		result, err = a.Apply(t.Context(), nil, late)
		require.NoError(t, err)
		require.Equal(t, want, result.Handled)
	}
	require.Equal(t, []string{"a", "b"}, testinbox.Strings(t, admin, allEffects))
}

// A database that was restored may have fewer leaves than its consumer knows of:
// the batch that meets it fails, and the next one looks again.
func TestALeafThatIsGoneIsNoticed(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := experienced(t, pool)
	ahead := []inbox.Message{{ID: testinbox.V7At(time.Now().AddDate(0, 6, 0)), Value: []byte("ahead")}}
	_, err := admin.Exec(t.Context(), `
		UPDATE tandem.inbox_bounds SET ceiling = tandem.uuid_time($1::uuid) - interval '1 hour'`, ahead[0].ID)
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), `DO $$ BEGIN EXECUTE (SELECT 'DROP TABLE ' || string_agg('tandem.' || c.relname, ', ')
		FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'tandem.inbox'::regclass
		AND c.relname >= tandem.inbox_leaf_name((SELECT ceiling FROM tandem.inbox_bounds))); END $$`)
	require.NoError(t, err)
	_, err = a.Apply(t.Context(), ahead)
	require.ErrorContains(t, err, "no partition of relation")
	require.False(t, errors.As(err, new(*apply.Failure)), "the message is not at fault")
	_, err = a.Apply(t.Context(), ahead)
	require.ErrorIs(t, err, inbox.ErrTooNew)
	n, err := a.Apply(t.Context(), fresh(1))
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
