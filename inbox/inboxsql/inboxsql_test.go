package inboxsql_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
)

func TestMain(m *testing.M) { testservers.Main(m) }

var drivers = []string{"pgx", "postgres"}

// open connects with a consumer's rights.
func open(t testing.TB, driver, address string) *sql.DB {
	t.Helper()
	u, err := url.Parse(testinbox.AsConsumer(t, address))
	require.NoError(t, err)
	q := u.Query()
	if !q.Has("sslmode") {
		q.Set("sslmode", "disable") // lib/pq asks for TLS otherwise
	}
	u.RawQuery = q.Encode()
	db, err := sql.Open(driver, u.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func begin(t testing.TB, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// once is a transaction of its own.
func once(t testing.TB, db *sql.DB, consumer, id string) (bool, error) {
	t.Helper()
	tx := begin(t, db)
	first, err := inboxsql.Once(t.Context(), tx, consumer, id)
	if err != nil {
		return false, errors.Join(err, tx.Rollback())
	}
	return first, tx.Commit()
}

// It shares its storage with inbox.Once, and answers as that does.
func TestOnceIsTheSameOnce(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	pool := testinbox.Pool(t, testinbox.AsConsumer(t, address))
	for _, driver := range drivers {
		db := open(t, driver, address)
		for _, id := range []string{uuid.Must(uuid.NewV7()).String(), uuid.NewString(), "payment ' \\ " + driver, strings.Repeat("π", 500)} {
			consumer := "billing on " + driver
			tx := begin(t, db)
			first, err := inboxsql.Once(t.Context(), tx, consumer, id)
			require.NoError(t, err)
			require.True(t, first)
			require.NoError(t, tx.Rollback())
			for _, want := range []bool{true, false} {
				first, err := once(t, db, consumer, id)
				require.NoError(t, err, driver)
				require.Equal(t, want, first, "%s: a record goes with its transaction", driver)
			}
			require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				first, err := inbox.Once(t.Context(), tx, consumer, id)
				require.False(t, first, driver)
				return err
			}))
		}
	}
}

func TestOnceRefuses(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	pool := testinbox.Pool(t, testinbox.AsConsumer(t, address))
	for _, driver := range drivers {
		db := open(t, driver, address)
		for name, c := range map[string]struct{ consumer, id string }{
			"too old":            {"billing", testinbox.V7At(time.Now().AddDate(0, 0, -30))},
			"too new":            {"billing", testinbox.V7At(time.Now().AddDate(2, 0, 0))},
			"no id":              {"billing", ""},
			"not UTF-8":          {"billing", "\xff"},
			"no consumer":        {"", "1"},
			"consumer too long":  {strings.Repeat("x", 256), "1"},
			"id of 1,001 bytes":  {"billing", strings.Repeat("x", 1001)},
			"id with zero bytes": {"billing", "a\x00b"},
		} {
			_, err := once(t, db, c.consumer, c.id)
			var got, want *inbox.IDError
			require.ErrorAs(t, err, &got, "%s: %s", driver, name)
			err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				_, err := inbox.Once(t.Context(), tx, c.consumer, c.id)
				return err
			})
			require.ErrorAs(t, err, &want, name)
			require.Equal(t, want, got, "%s: %s", driver, name)
		}
	}
}

func TestOnceWithoutATransaction(t *testing.T) {
	t.Parallel()
	_, err := inboxsql.Once(t.Context(), nil, "billing", "1")
	require.ErrorIs(t, err, inbox.ErrNoTransaction)
	_, err = inboxsql.Once(t.Context(), (*sql.Tx)(nil), "billing", "1")
	require.ErrorIs(t, err, inbox.ErrNoTransaction)
	var db any = open(t, "pgx", "postgres://localhost/unused")
	_, is := db.(inboxsql.Tx)
	require.False(t, is, "a *sql.DB is no transaction")

	done := begin(t, open(t, "pgx", testservers.Migrated(t)))
	require.NoError(t, done.Commit())
	_, err = inboxsql.Once(t.Context(), done, "billing", "1")
	require.ErrorIs(t, err, sql.ErrTxDone)
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

	in, err := inboxsql.New("messages")
	require.NoError(t, err)
	_, err = inboxsql.New("No")
	require.Error(t, err)
	for _, driver := range drivers {
		db := open(t, driver, address)
		tx := begin(t, db)
		first, err := in.Once(t.Context(), tx, "billing", "1")
		require.NoError(t, err)
		require.True(t, first)
		require.NoError(t, tx.Rollback())
		_, err = once(t, db, "billing", "1")
		require.ErrorContains(t, err, "tandem migrate up", driver)
	}
}

// However often the webhook is called, the payment is booked once.
func ExampleOnce() {
	webhook := func(ctx context.Context, db *sql.DB, paymentID string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		first, err := inboxsql.Once(ctx, tx, "bookkeeping", paymentID)
		if err != nil || !first {
			return err // known: answer 200, as the first time
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO bookings (payment_id) VALUES ($1)`, paymentID); err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = webhook
}
