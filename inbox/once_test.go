package inbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// once runs Once in a transaction of its own, with a consumer's rights.
func once(t testing.TB, pool *pgxpool.Pool, consumer, id string) (first bool, err error) {
	t.Helper()
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		first, err = inbox.Once(t.Context(), tx, consumer, id)
		return err
	})
	return first, err
}

func TestOnceIsTrueOnce(t *testing.T) {
	t.Parallel()
	pool := testinbox.Pool(t, testinbox.AsConsumer(t, testservers.Migrated(t)))
	v7 := uuid.Must(uuid.NewV7()).String()
	for _, id := range []string{v7, uuid.NewString(), "payment 4711", strings.Repeat("x", 1000), "π"} {
		for i, want := range []bool{true, false, false} {
			first, err := once(t, pool, "billing", id)
			require.NoError(t, err)
			require.Equal(t, want, first, "id %q, delivery %d", id, i)
		}
		first, err := once(t, pool, "shipping", id)
		require.NoError(t, err)
		require.True(t, first, "each consumer sees each id once")
	}
}

func TestOnceIsUndoneWithItsTransaction(t *testing.T) {
	t.Parallel()
	pool := testinbox.Pool(t, testinbox.AsConsumer(t, testservers.Migrated(t)))
	id := uuid.Must(uuid.NewV7()).String()
	failed := errors.New("the effects failed")
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		first, err := inbox.Once(t.Context(), tx, "billing", id)
		require.NoError(t, err)
		require.True(t, first)
		return failed
	})
	require.ErrorIs(t, err, failed)
	first, err := once(t, pool, "billing", id)
	require.NoError(t, err)
	require.True(t, first)
}

func TestOnceRefuses(t *testing.T) {
	t.Parallel()
	pool := testinbox.Pool(t, testinbox.AsConsumer(t, testservers.Migrated(t)))
	for name, c := range map[string]struct {
		consumer, id, field string
		reason              error
	}{
		"an id that is too old":               {"billing", testinbox.V7At(time.Now().AddDate(0, 0, -30)), "message_id", inbox.ErrTooOld},
		"an id of 1970":                       {"billing", testinbox.V7At(time.UnixMilli(1)), "message_id", inbox.ErrTooOld},
		"an id too far in the future":         {"billing", testinbox.V7At(time.Now().AddDate(2, 0, 0)), "message_id", inbox.ErrTooNew},
		"an empty id":                         {"billing", "", "message_id", inbox.ErrInvalid},
		"an id of more than 1000 bytes":       {"billing", strings.Repeat("x", 1001), "message_id", inbox.ErrInvalid},
		"an id that is not UTF-8":             {"billing", "\xff", "message_id", inbox.ErrInvalid},
		"an id with a zero byte":              {"billing", "a\x00b", "message_id", inbox.ErrInvalid},
		"an empty consumer":                   {"", "1", "consumer", inbox.ErrInvalid},
		"a consumer of more than 255 bytes":   {strings.Repeat("é", 128), "1", "consumer", inbox.ErrInvalid},
		"a consumer that is not UTF-8":        {"\xff", "1", "consumer", inbox.ErrInvalid},
		"a consumer that has a zero byte too": {"\x00", "1", "consumer", inbox.ErrInvalid},
	} {
		_, err := once(t, pool, c.consumer, c.id)
		var refused *inbox.IDError
		require.ErrorAs(t, err, &refused, name)
		require.ErrorIs(t, err, c.reason, name)
		require.Equal(t, c.field, refused.Field, name)
		require.Equal(t, c.id, refused.ID, name)
		require.Equal(t, c.consumer, refused.Consumer, name)
		require.Less(t, len(err.Error()), 1000, name)
	}
	_, err := once(t, pool, strings.Repeat("c", 255), "1")
	require.NoError(t, err)
}

func TestOnceNeedsATransaction(t *testing.T) {
	t.Parallel()
	_, err := inbox.Once(t.Context(), nil, "billing", "1")
	require.ErrorIs(t, err, inbox.ErrNoTransaction)
	var none *pgxpool.Tx
	_, err = inbox.Once(t.Context(), none, "billing", "1")
	require.ErrorIs(t, err, inbox.ErrNoTransaction)
}

// A duplicate that arrives while the first is being processed waits for it.
func TestOnceAtTheSameTime(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	pool := testinbox.Pool(t, testinbox.AsConsumer(t, address))
	for _, c := range []struct {
		level     pgx.TxIsoLevel
		committed bool
		want      bool
		code      string
	}{
		{level: pgx.ReadCommitted, committed: true, want: false},
		{level: pgx.ReadCommitted, committed: false, want: true},
		{level: pgx.RepeatableRead, committed: true, code: "40001"},
		{level: pgx.RepeatableRead, committed: false, want: true},
	} {
		id := uuid.Must(uuid.NewV7()).String()
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = inbox.Once(t.Context(), tx, "billing", id)
		require.NoError(t, err)

		type answer struct {
			first bool
			err   error
		}
		second := make(chan answer, 1)
		go func() {
			var a answer
			a.err = pgx.BeginTxFunc(context.Background(), pool, pgx.TxOptions{IsoLevel: c.level}, func(tx pgx.Tx) (err error) {
				a.first, err = inbox.Once(context.Background(), tx, "billing", id)
				return err
			})
			second <- a
		}()
		testinbox.AwaitBlocked(t, pool, 1)
		if c.committed {
			require.NoError(t, tx.Commit(t.Context()))
		} else {
			require.NoError(t, tx.Rollback(t.Context()))
		}
		a := <-second
		if c.code != "" {
			var pg *pgconn.PgError
			require.ErrorAs(t, a.err, &pg)
			require.Equal(t, c.code, pg.Code)
			continue
		}
		require.NoError(t, a.err)
		require.Equal(t, c.want, a.first, "%+v", c)
	}
}

func TestInboxInAnotherSchema(t *testing.T) {
	t.Parallel()
	address := testservers.Postgres(t)
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	migrator, err := migrations.Open(config, "messages")
	require.NoError(t, err)
	defer migrator.Close()
	_, err = migrator.Up(t.Context())
	require.NoError(t, err)

	in, err := inbox.New("messages")
	require.NoError(t, err)
	pool := testinbox.Pool(t, testinbox.AsConsumer(t, address))
	for _, want := range []bool{true, false} {
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			first, err := in.Once(t.Context(), tx, "billing", uuid.NameSpaceURL.String())
			require.Equal(t, want, first)
			return err
		}))
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		var made, emptied int
		return tx.QueryRow(t.Context(), `SELECT * FROM messages.maintain_inbox()`).Scan(&made, &emptied)
	}))
	_, err = once(t, pool, "billing", "1")
	require.Error(t, err, "there is no schema tandem in this database")
	_, err = inbox.New("No")
	require.Error(t, err)
}

func TestOnceInAnUnmigratedDatabase(t *testing.T) {
	t.Parallel()
	pool := testinbox.Pool(t, testservers.Postgres(t))
	_, err := once(t, pool, "billing", "1")
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Contains(t, err.Error(), "tandem migrate up")
}
