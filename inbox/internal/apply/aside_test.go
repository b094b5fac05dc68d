package apply_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

func asides(t testing.TB, admin *pgxpool.Pool) int {
	t.Helper()
	return testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_aside`)
}

const (
	allAside   = `SELECT coalesce(array_agg(convert_from(value, 'UTF8') || ' ' || state || ' ' || attempts ORDER BY aside), '{}') FROM tandem.inbox_aside`
	allDropped = `SELECT coalesce(array_agg(concat_ws(' ', topic, partition, position, nullif(type, ''), convert_from(key, 'UTF8'), kind, nullif(why, ''), by) ORDER BY dropped), '{}')
		FROM tandem.inbox_dropped`
)

func TestVerdictsAreCarriedOutBesideWhatIsHandled(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	batch := items(messages("a", "b", "c", "d", "e", "f", "g"))
	batch[1].Verdict = retrying("b", time.Hour)
	batch[2].Verdict = parked("c")
	batch[3].Verdict = held("c")
	for _, i := range []int{4, 5} { // an id of each kind
		batch[i].Message.Type, batch[i].Message.Key = "paid", []byte("k")
		batch[i].Verdict = &apply.Verdict{State: apply.Skipped, Err: errors.New("not for us")}
	}
	result, err := a.Apply(t.Context(), f, batch)
	require.NoError(t, err)
	require.Equal(t, apply.Result{Handled: 2}, result)
	require.Equal(t, []string{"a", "g"}, testinbox.Strings(t, admin, allEffects))
	require.Equal(t, []string{"b retrying 1", "c parked 1", "d held 0"}, testinbox.Strings(t, admin, allAside))
	require.Equal(t, []string{"orders 0 4 paid k skipped not for us consumer", "orders 0 5 paid k skipped not for us consumer"},
		testinbox.Strings(t, admin, allDropped))
	require.Equal(t, 4, recorded(t, admin), "what is set aside is not processed yet")
	require.Equal(t, 3, testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_aside WHERE CASE state
		WHEN 'retrying' THEN due_at > clock_timestamp() + interval '30 minutes' AND due_at <= clock_timestamp() + interval '1 hour' AND tried_at IS NOT NULL
		WHEN 'parked' THEN parked_at <= clock_timestamp() AND tried_at IS NOT NULL
		ELSE tried_at IS NULL END`))

	// All of it again, as after a crash before the offsets were committed; with
	// what this attempt has found out still in the items.
	result, err = a.Apply(t.Context(), f, batch)
	require.NoError(t, err)
	require.Equal(t, apply.Result{Stored: true}, result)
	require.Equal(t, 3, asides(t, admin))
	require.Len(t, testinbox.Strings(t, admin, allDropped), 2, "what was skipped is a duplicate")
}

func TestAHandlerSkipsWithinItsBatch(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	touch := false
	a := apply.New(config(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if string(m.Value) != "b" {
			return effect(ctx, tx, m)
		}
		if touch {
			require.NoError(t, effect(ctx, tx, m))
		}
		return inbox.Skip("not for us")
	}))
	result, err := a.Apply(t.Context(), nil, items(messages("a", "b", "c")))
	require.NoError(t, err)
	require.Equal(t, 2, result.Handled)
	require.Equal(t, []string{"a", "c"}, testinbox.Strings(t, admin, allEffects))
	require.Equal(t, []string{"orders 0 1 skipped not for us consumer"}, testinbox.Strings(t, admin, allDropped))
	require.Equal(t, 3, recorded(t, admin))

	touch = true // then its effects have to go, and with them the batch
	_, err = a.Apply(t.Context(), nil, items(messages("a", "b", "c")))
	var failed *apply.Failure
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 1, failed.Index)
	require.Equal(t, apply.Skipped, failed.Skip().State)
	require.Equal(t, 3, recorded(t, admin))
}

// Ids that the inbox cannot keep are no reason not to skip a message; and what
// an earlier attempt left in Known is not believed.
func TestWhatHasNoIDCanBeSkipped(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	batch := items([]inbox.Message{
		{Topic: "orders", Offset: 0},
		{Topic: "orders", Offset: 1, ID: testinbox.V7At(time.Now().AddDate(-1, 0, 0))},
		{Topic: "orders", Offset: 2, ID: testinbox.V7At(time.Now().AddDate(3, 0, 0))},
	})
	for i := range batch {
		batch[i].Verdict, batch[i].Known = &apply.Verdict{State: apply.Skipped}, true
		_, err := a.Apply(t.Context(), nil, batch[i:i+1])
		require.NoError(t, err)
	}
	require.Equal(t, []string{"orders 0 0 skipped consumer", "orders 0 1 skipped consumer", "orders 0 2 skipped consumer"},
		testinbox.Strings(t, admin, allDropped))
	require.Zero(t, recorded(t, admin))
}

func TestTextsThatPostgresCannotKeepAreRepaired(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	const bad, repaired = "a\x00b\xffc", "a\ufffdb\ufffdc"
	batch := items(messages("a", "b", "c"))
	for i := range batch {
		v := parked(apply.Lane(batch[i].Message.Value))
		batch[i].Message.Type, v.Reason, v.Err, v.Stack, v.ID = bad, bad, errors.New(bad), []byte(bad), bad
		batch[i].Verdict = v
	}
	batch[1].Verdict.State = apply.Skipped
	long := strings.Repeat("ä", 10_000)
	batch[2].Message.Type, batch[2].Verdict.Err, batch[2].Verdict.ID = "", errors.New("x"+long), ""
	_, err := a.Apply(t.Context(), f, batch)
	require.NoError(t, err)
	const texts = `SELECT ARRAY[message_id, type, reason, error, stack] FROM tandem.inbox_aside WHERE position = $1`
	require.Equal(t, []string{repaired, repaired, repaired, repaired, repaired}, testinbox.Strings(t, admin, texts, 0))
	require.Equal(t, []string{batch[2].Message.ID, "", repaired, "x" + long[:7998] + "…", repaired}, testinbox.Strings(t, admin, texts, 2))
	require.Equal(t, []string{"orders 0 1 " + repaired + " skipped " + repaired + " consumer"}, testinbox.Strings(t, admin, allDropped))

	stored := rowsOf(t, a, f, "a")
	stored[0].Verdict = batch[0].Verdict
	change(t, admin, `UPDATE tandem.inbox_aside SET reason = '', error = '', stack = '' WHERE position = 0`)
	_, err = a.Apply(t.Context(), f, stored)
	require.NoError(t, err)
	require.Equal(t, []string{repaired, repaired, repaired, repaired, repaired}, testinbox.Strings(t, admin, texts, 0), "again")
}

// restore gives messages that were read from rows what a runner finds in their
// headers.
func restore(rows []apply.Item, from []inbox.Message) []apply.Item {
	for i := range rows {
		rows[i].Message.ID = from[rows[i].Message.Offset].ID
	}
	return rows
}

func TestWhatWasStoredGoesWithTheTransactionThatSettlesIt(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	stored := setAside(t, a, f, parked("x"), held("x"), held("x"))
	rows := restore(rowsOf(t, a, f, "x"), stored)

	failing := apply.New(config(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := effect(ctx, tx, m); err != nil || string(m.Value) == "a" {
			return err
		}
		return errors.New("no")
	}))
	_, err := failing.Apply(t.Context(), f, rows)
	require.Error(t, err)
	require.Equal(t, 3, asides(t, admin))
	require.Empty(t, testinbox.Strings(t, admin, allEffects))

	// Another delivery of c was handled meanwhile: its row is that of a duplicate.
	result, err := a.Apply(t.Context(), f, items(stored[2:]))
	require.NoError(t, err)
	require.Equal(t, 1, result.Handled)

	rows[1].Verdict = &apply.Verdict{State: apply.Skipped, Err: errors.New("in vain")}
	result, err = a.Apply(t.Context(), f, rows)
	require.NoError(t, err)
	require.Equal(t, apply.Result{Handled: 1}, result)
	require.True(t, rows[2].Known)
	require.Zero(t, asides(t, admin))
	require.Equal(t, []string{"c", "a"}, testinbox.Strings(t, admin, allEffects))
	require.Equal(t, []string{"orders 0 1 skipped in vain consumer"}, testinbox.Strings(t, admin, allDropped))
	require.Equal(t, 3, recorded(t, admin))
}

func TestAnotherFailureIsWrittenIntoTheRow(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	setAside(t, a, f, parked("x"), held("x"))
	change(t, admin, `UPDATE tandem.inbox_aside SET redrive = true, parked_at = '2001-02-03Z', tried_at = '2001-02-03Z' WHERE state = 'parked'`)
	rows := rowsOf(t, a, f, "x")
	yes, no := true, false
	for _, c := range []struct {
		verdict    *apply.Verdict
		old, later *bool // of parked_at and due_at, where they are set
	}{
		{parked("x"), &yes, nil}, // as long as before
		{retrying("x", time.Hour), nil, &yes},
		{parked("x"), &no, nil}, // anew
	} {
		c.verdict.Attempts, c.verdict.Reason, c.verdict.Err, c.verdict.Hint, c.verdict.Stack = 6, "panic", errors.New("again"), "look", []byte("deep")
		rows[0].Verdict, rows[1].Verdict = c.verdict, held("x") // what is held stays as it is
		result, err := a.Apply(t.Context(), f, rows)
		require.NoError(t, err)
		require.Equal(t, apply.Result{}, result)
		require.Equal(t, []string{"a " + string(c.verdict.State) + " 6", "b held 0"}, testinbox.Strings(t, admin, allAside))
		require.Equal(t, []string{"panic", "again", "look", "deep"}, testinbox.Strings(t, admin,
			`SELECT ARRAY[reason, error, hint, stack] FROM tandem.inbox_aside WHERE position = 0`))
		require.Equal(t, 1, testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_aside WHERE position = 0 AND NOT redrive
			AND tried_at > '2002-01-01Z' AND (parked_at < '2002-01-01Z') IS NOT DISTINCT FROM $1::boolean
			AND (due_at > clock_timestamp()) IS NOT DISTINCT FROM $2::boolean`, c.old, c.later), "%+v", c.verdict)
	}
	require.Zero(t, recorded(t, admin))
}

const discard = `DELETE FROM tandem.inbox_aside WHERE aside IN (SELECT aside FROM tandem.inbox_aside ORDER BY aside FOR UPDATE SKIP LOCKED)`

func TestWhatWasDiscardedIsNotHandled(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	c := config(pool, effect)
	c.LockTimeout = 2 * time.Minute
	a := apply.New(c)
	f := claimed(t, a)
	stored := setAside(t, a, f, parked("x"), held("x"))
	rows := restore(rowsOf(t, a, f, "x"), stored)
	tx, err := admin.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `DELETE FROM tandem.inbox_aside WHERE position = 1`)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := a.Apply(t.Context(), f, rows)
		done <- err
	}()
	testinbox.AwaitBlocked(t, admin, 1)
	require.NoError(t, tx.Commit(t.Context()))
	require.ErrorIs(t, <-done, apply.ErrChanged)
	_, err = a.Apply(t.Context(), f, rows)
	require.ErrorIs(t, err, apply.ErrChanged)
	rows[0].Verdict = parked("x")
	rows[1].Verdict = parked("x")
	_, err = a.Apply(t.Context(), f, rows)
	require.ErrorIs(t, err, apply.ErrChanged, "another failure is no news of it either")
	require.Empty(t, testinbox.Strings(t, admin, allEffects))
	require.Zero(t, recorded(t, admin))
	require.Equal(t, []string{"a parked 1"}, testinbox.Strings(t, admin, allAside))
}

func TestWhatIsBeingHandledCannotBeDiscarded(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	stored := setAside(t, a, f, parked("x"), held("x"))
	rows := restore(rowsOf(t, a, f, "x"), stored)
	discarded := func() int64 {
		tag, err := admin.Exec(t.Context(), discard)
		require.NoError(t, err)
		return tag.RowsAffected()
	}
	// What was read and stays held is not locked.
	finish := inHandler(t, pool, f, []apply.Item{rows[0], {Message: rows[1].Message, Aside: rows[1].Aside, Verdict: held("x")}})
	require.EqualValues(t, 1, discarded())
	require.Error(t, finish(errors.New("no")))
	require.EqualValues(t, 1, discarded())

	stored = setAside(t, a, f, parked("y"))
	finish = inHandler(t, pool, f, restore(rowsOf(t, a, f, "y"), stored))
	require.Zero(t, discarded())
	require.NoError(t, finish(nil))
	require.Zero(t, asides(t, admin))
	require.Equal(t, []string{"a"}, testinbox.Strings(t, admin, allEffects))
}
