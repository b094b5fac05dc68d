package apply_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// An id that no leaf covers is refused, unless the message is to be handled all
// the same: then once.
func TestALateMessageIsHandledOnce(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	for value, moment := range map[string]time.Time{"old": time.Now().AddDate(-1, 0, 0), "new": time.Now().AddDate(3, 0, 0)} {
		batch := items([]inbox.Message{{ID: testinbox.V7At(moment), Value: []byte(value)}})
		_, err := a.Apply(t.Context(), nil, batch)
		var refused *apply.Failure
		require.ErrorAs(t, err, &refused)
		require.Contains(t, refused.Refused, 0)
		batch[0].Proof = apply.ByLate
		for _, want := range []int{1, 0} {
			result, err := a.Apply(t.Context(), nil, batch)
			require.NoError(t, err)
			require.Equal(t, want, result.Handled)
			require.Equal(t, want == 0, batch[0].Known)
		}
	}
	require.ElementsMatch(t, []string{"old", "new"}, testinbox.Strings(t, admin, allEffects))
	require.Equal(t, 2, testinbox.Count(t, admin, `SELECT count(*) FROM tandem.inbox_late`))
}

// A message without an id is handled once because its row goes with the effect.
func TestAMessageMayBeProvedByItsRow(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	setAside(t, a, f, parked("x"), held("x"))
	rows := rowsOf(t, a, f, "x") // without ids
	_, err := a.Apply(t.Context(), f, rows)
	require.ErrorIs(t, err, inbox.ErrInvalid)
	for i := range rows {
		rows[i].Proof = apply.ByRow
	}
	result, err := a.Apply(t.Context(), f, rows)
	require.NoError(t, err)
	require.Equal(t, 2, result.Handled)
	require.Zero(t, asides(t, admin)+recorded(t, admin))
	_, err = a.Apply(t.Context(), f, rows)
	require.ErrorIs(t, err, apply.ErrChanged)
	require.Equal(t, []string{"a", "b"}, testinbox.Strings(t, admin, allEffects))
}

// Where no ids are recorded, a failure must not take the effects of other
// messages with it: they would be made again.
func TestUnrecordedMessagesFailAlone(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	c := config(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := effect(ctx, tx, m); err != nil {
			return err
		}
		switch string(m.Value) {
		case "b":
			_, err := tx.Exec(ctx, `SELECT 1/0`)
			return err
		case "c":
			panic("no")
		case "e":
			return inbox.ParkAs("unpaid", errors.New("no"))
		}
		return nil
	})
	c.Unrecorded = true
	a := apply.New(c)
	batch := items(messages("a", "b", "c", "d", "e", "f"))
	for i := range batch {
		batch[i].Known = i == 0 // of no meaning here
	}
	f := claimed(t, a)
	result, err := a.Apply(t.Context(), f, batch)
	require.NoError(t, err)
	require.Equal(t, 3, result.Handled)
	require.Equal(t, []string{"a", "d", "f"}, testinbox.Strings(t, admin, allEffects))
	require.Zero(t, recorded(t, admin)+asides(t, admin))
	for i := range batch {
		lost := i == 1 || i == 2 || i == 4
		require.Equal(t, lost, batch[i].Verdict != nil)
		if lost {
			require.Equal(t, apply.Lost, batch[i].Verdict.State)
			require.Error(t, batch[i].Verdict.Err)
		}
	}
	require.NotEmpty(t, batch[2].Verdict.Stack)
	require.Equal(t, "unpaid", batch[4].Verdict.Reason)

	result, err = a.Apply(t.Context(), nil, batch[:1])
	require.NoError(t, err)
	require.Equal(t, 1, result.Handled, "nothing is a duplicate")
}

// The connection of database/sql comes back however the batch ends.
func TestABatchOfDatabaseSQL(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ends := map[string]func(tx *sql.Tx) error{
		"error":     func(*sql.Tx) error { return errors.New("no") },
		"panic":     func(*sql.Tx) error { panic("no") },
		"goexit":    func(*sql.Tx) error { runtime.Goexit(); return nil },
		"commit":    (*sql.Tx).Commit,
		"rollback":  (*sql.Tx).Rollback,
		"cancelled": func(*sql.Tx) error { cancel(); return nil },
		"handled":   func(*sql.Tx) error { return nil },
	}
	c := config(pool, nil)
	c.Database = apply.SQL(db)
	c.Handler = func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
		value := string(m[0].Value)
		if _, err := s.SQL.ExecContext(ctx, `INSERT INTO app.effects (name) VALUES ($1)`, value); err != nil {
			return err
		}
		return ends[value](s.SQL)
	}
	a := apply.New(c)
	for _, how := range []string{"error", "panic", "goexit", "rollback", "handled", "cancelled"} {
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err = a.Apply(ctx, nil, items(messages(how)))
		}()
		<-done
		require.Equal(t, how == "handled" || how == "goexit", err == nil, "%s: %v", how, err)
		require.Zero(t, db.Stats().InUse, how)
		require.Zero(t, db.Stats().OpenConnections, how) // of the pool they are only borrowed
	}
	_, err := a.Apply(ctx, nil, items(messages("handled")))
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, db.Stats().InUse)
	require.Equal(t, []string{"handled"}, testinbox.Strings(t, admin, allEffects))
	require.Equal(t, 1, recorded(t, admin))

	_, err = a.Apply(t.Context(), nil, items(messages("commit")))
	require.ErrorIs(t, err, apply.ErrEnded)
	require.Zero(t, db.Stats().InUse)
}

func TestADatabaseSQLBatchCarriesVerdictsOut(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	c := config(pool, nil)
	c.Database = apply.SQL(db)
	c.Handler = func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
		_, err := s.SQL.ExecContext(ctx, `INSERT INTO app.effects (name) VALUES ($1)`, string(m[0].Value))
		return err
	}
	a := apply.New(c)
	f := claimed(t, a)
	stored := setAside(t, a, f, parked("x"), held("x"))
	heads, rows, _, err := a.Heads(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, heads, 1)
	require.EqualValues(t, 2, rows)
	result, err := a.Apply(t.Context(), f, restore(rowsOf(t, a, f, "x"), stored))
	require.NoError(t, err)
	require.Equal(t, 2, result.Handled)
	require.Zero(t, asides(t, admin))
	require.Equal(t, []string{"a", "b"}, testinbox.Strings(t, admin, allEffects))
	require.Zero(t, db.Stats().InUse)
}
