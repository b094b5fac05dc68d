package apply_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// databases returns pools of a fresh database: with all rights, and with a
// consumer's.
func databases(t testing.TB) (admin, pool *pgxpool.Pool) {
	t.Helper()
	address := testservers.Migrated(t)
	admin = testinbox.Pool(t, address)
	testinbox.Effects(t, admin)
	return admin, testinbox.Pool(t, testinbox.AsConsumer(t, address))
}

// plain applies messages as they come, without a claim or verdicts.
type plain struct{ *apply.Applier }

func (p plain) Apply(ctx context.Context, batch []inbox.Message) (int, error) {
	result, err := p.Applier.Apply(ctx, nil, items(batch))
	return result.Handled, err
}

func items(batch []inbox.Message) []apply.Item {
	out := make([]apply.Item, len(batch))
	for i := range batch {
		out[i].Message = batch[i]
	}
	return out
}

func applier(pool *pgxpool.Pool, handler inbox.Handler) plain {
	return plain{apply.New(config(pool, handler))}
}

func config(pool *pgxpool.Pool, handler inbox.Handler) apply.Config {
	return apply.Config{
		Database: apply.Pool(pool), Schema: "tandem", Consumer: "billing", Each: true,
		Handler: func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
			return handler(ctx, s.Tx, m[0])
		},
		LockTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second,
	}
}

// effect is the usual handler: one row, named by the payload.
func effect(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	_, err := tx.Exec(ctx, `INSERT INTO app.effects (name) VALUES ($1)`, string(m.Value))
	return err
}

const allEffects = `SELECT coalesce(array_agg(name ORDER BY n), '{}') FROM app.effects`

func recorded(t testing.TB, admin *pgxpool.Pool) int {
	t.Helper()
	return testinbox.Count(t, admin, `SELECT (SELECT count(*) FROM tandem.inbox) + (SELECT count(*) FROM tandem.inbox_foreign)`)
}

// messages gives each value a new id.
func messages(values ...string) []inbox.Message {
	var out []inbox.Message
	for i, v := range values {
		id := uuid.Must(uuid.NewV7()).String()
		if i%2 == 1 {
			id = "foreign " + id
		}
		out = append(out, inbox.Message{ID: id, Topic: "orders", Offset: int64(i), Value: []byte(v)})
	}
	return out
}

func TestABatchIsAppliedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := applier(pool, effect)
	batch := messages("a", "b", "c", "d")
	n, err := a.Apply(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, 4, n)

	batch = append(batch[2:], messages("e", "f")...)
	n, err = a.Apply(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, 2, n, "two of the four were known")
	require.Equal(t, []string{"a", "b", "c", "d", "e", "f"}, testinbox.Strings(t, admin, allEffects))
}

func TestAnIDTwiceInABatchLicensesTheFirstMessageAlone(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	v7 := uuid.Must(uuid.NewV7()).String()
	n, err := applier(pool, effect).Apply(t.Context(), []inbox.Message{
		{ID: v7, Value: []byte("timed")}, {ID: "x", Value: []byte("foreign")},
		{ID: v7, Value: []byte("timed again")}, {ID: "x", Value: []byte("foreign again")},
	})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, []string{"timed", "foreign"}, testinbox.Strings(t, admin, allEffects))
}

func TestAFailureUndoesTheWholeBatchAndNamesItsMessage(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	refused := errors.New("card refused")
	var p *pgxpool.Pool
	for name, c := range map[string]struct {
		fail  func(ctx context.Context, tx pgx.Tx) error
		check func(t *testing.T, f *apply.Failure)
	}{
		"an error": {
			func(context.Context, pgx.Tx) error { return refused },
			func(t *testing.T, f *apply.Failure) { require.ErrorIs(t, f, refused); require.Nil(t, f.Stack) },
		},
		"a panic": {
			func(context.Context, pgx.Tx) error { _ = p.Config(); return nil },
			func(t *testing.T, f *apply.Failure) {
				var panicked *apply.PanicError
				require.ErrorAs(t, f, &panicked)
				require.Contains(t, string(f.Stack), "apply_test.go")
			},
		},
		"a failed statement that the handler kept to itself": {
			func(ctx context.Context, tx pgx.Tx) error { _, _ = tx.Exec(ctx, `SELECT 1/0`); return nil }, nil,
		},
		"rows left open": {
			func(ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Query(ctx, `SELECT generate_series(1, 100000)`) //nolint:sqlclosecheck,rowserrcheck // the mistake of this case
				return err
			}, nil,
		},
		"a commit that is not the handler's": {
			func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) }, nil,
		},
		"a rollback that is not the handler's": {
			func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) }, nil,
		},
		"a time-out of the handler's own": {
			func(ctx context.Context, _ pgx.Tx) error {
				ctx, cancel := context.WithTimeout(ctx, 0)
				defer cancel()
				return ctx.Err()
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			batch := messages("a", "b", "c")
			_, err := applier(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				if err := effect(ctx, tx, m); err != nil || string(m.Value) != "b" {
					return err
				}
				return c.fail(ctx, tx)
			}).Apply(t.Context(), batch)
			var f *apply.Failure
			require.ErrorAs(t, err, &f)
			require.Equal(t, 1, f.Index)
			require.Equal(t, 1, f.Handled)
			if c.check != nil {
				c.check(t, f)
			}
			require.Zero(t, recorded(t, admin))
			require.Empty(t, testinbox.Strings(t, admin, allEffects))
		})
	}
}

func TestAConstraintCheckedAtCommitFailsTheBatch(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	_, err := admin.Exec(t.Context(), `ALTER TABLE app.effects ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED`)
	require.NoError(t, err)
	_, err = applier(pool, effect).Apply(t.Context(), messages("a", "a"))
	var f *apply.Failure
	require.ErrorAs(t, err, &f)
	require.Equal(t, -1, f.Index, "whose fault it is cannot be known yet")
	require.Zero(t, recorded(t, admin))
}

func TestAHandlerThatEndsTheTransactionBySQLIsFoundOut(t *testing.T) {
	t.Parallel()
	_, pool := databases(t)
	for _, statement := range []string{"COMMIT", "ROLLBACK"} {
		_, err := applier(pool, func(ctx context.Context, tx pgx.Tx, _ inbox.Message) error {
			_, err := tx.Exec(ctx, statement)
			return err
		}).Apply(t.Context(), messages("a", "b"))
		require.ErrorIs(t, err, apply.ErrEnded)
	}
}

func TestASavepointIsTheHandlersOwn(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	_, err := applier(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		tried := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT 1/0`)
			return err
		})
		if tried == nil {
			return errors.New("no error")
		}
		return effect(ctx, tx, m)
	}).Apply(t.Context(), messages("a", "b"))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, testinbox.Strings(t, admin, allEffects))
}

// What the database does to a transaction is never the handler's failure, even
// when the handler wraps it.
func TestTroubleOfTheDatabaseIsNotTheHandlers(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	kill := func(tx pgx.Tx) {
		pid := tx.Conn().PgConn().PID()
		_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend($1, 10000)`, pid)
		require.NoError(t, err)
	}
	raise := func(code string) func(ctx context.Context, tx pgx.Tx) error {
		return func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf(`DO $$ BEGIN RAISE EXCEPTION 'test' USING ERRCODE = '%s'; END $$`, code))
			return err
		}
	}
	for name, c := range map[string]struct {
		trouble  func(ctx context.Context, tx pgx.Tx) error
		conflict bool
	}{
		"serialization failure": {raise("40001"), true},
		"deadlock":              {raise("40P01"), true},
		"lock time-out":         {raise("55P03"), true},
		"shutting down":         {raise("57P01"), false},
		"connection killed": {func(ctx context.Context, tx pgx.Tx) error {
			kill(tx)
			_, err := tx.Exec(ctx, `SELECT 1`)
			return err
		}, false},
		"connection killed, and the handler says nothing": {func(ctx context.Context, tx pgx.Tx) error {
			kill(tx)
			_, _ = tx.Exec(ctx, `SELECT 1`)
			return nil
		}, false},
		"connection killed while the handler did something else": {func(_ context.Context, tx pgx.Tx) error {
			kill(tx)
			return nil
		}, false},
	} {
		_, err := applier(pool, func(ctx context.Context, tx pgx.Tx, _ inbox.Message) error {
			if err := c.trouble(ctx, tx); err != nil {
				return fmt.Errorf("charge: %w", err)
			}
			return nil
		}).Apply(t.Context(), messages("a"))
		require.Error(t, err, name)
		var f *apply.Failure
		require.False(t, errors.As(err, &f), "%s: %v", name, err)
		require.Equal(t, c.conflict, apply.Conflict(err), name)
	}
}

// The transaction of a batch is READ COMMITTED and has its limits, whatever the
// role's defaults are.
func TestTheTransactionsSettings(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	admin := testinbox.Pool(t, address)
	var database string
	require.NoError(t, admin.QueryRow(t.Context(), `SELECT current_database()`).Scan(&database))
	_, err := admin.Exec(t.Context(), fmt.Sprintf(`ALTER DATABASE %s SET default_transaction_isolation = 'serializable';
		ALTER DATABASE %[1]s SET default_transaction_read_only = on`, pgx.Identifier{database}.Sanitize()))
	require.NoError(t, err)
	pool := testinbox.Pool(t, testinbox.AsConsumer(t, address))
	_, err = applier(pool, func(ctx context.Context, tx pgx.Tx, _ inbox.Message) error {
		var isolation, lock, idle string
		err := tx.QueryRow(ctx, `SELECT current_setting('transaction_isolation'), current_setting('lock_timeout'),
			current_setting('idle_in_transaction_session_timeout')`).Scan(&isolation, &lock, &idle)
		require.Equal(t, []string{"read committed", "5s", "30s"}, []string{isolation, lock, idle})
		return err
	}).Apply(t.Context(), messages("a"))
	require.NoError(t, err)
}

func TestAnEndedContextRollsBack(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	reason := errors.New("the partition is given up")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := applier(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		err := effect(ctx, tx, m)
		cancel(reason)
		return err
	}).Apply(ctx, messages("a", "b"))
	require.ErrorIs(t, err, reason)
	require.Zero(t, recorded(t, admin))
}
