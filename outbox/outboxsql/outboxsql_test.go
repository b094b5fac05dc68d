package outboxsql_test

import (
	"context"
	"database/sql"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// The cases that all ways share are in package outbox; here is what is
// database/sql's own.
func TestTransaction(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("pgx", testservers.Migrated(t))
	require.NoError(t, err)
	defer db.Close()
	add := func(topic string) *sql.Tx {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, outboxsql.Add(t.Context(), tx, outbox.Event{Topic: topic}))
		return tx
	}
	require.NoError(t, add("rolled-back").Rollback())
	done := add("committed")
	require.NoError(t, done.Commit())
	require.ErrorIs(t, outboxsql.Add(t.Context(), done, outbox.Event{Topic: "late"}), sql.ErrTxDone)
	require.NoError(t, outboxsql.Add(t.Context(), done), "no events are no statement")

	var topics string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT string_agg(topic, ',') FROM tandem.log").Scan(&topics))
	require.Equal(t, "committed", topics)
}

// The order and its event are committed together, or neither is.
func Example() {
	placeOrder := func(ctx context.Context, db *sql.DB, id string, body []byte) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES ($1)", id); err != nil {
			return err
		}
		if err := outboxsql.Add(ctx, tx, outbox.Event{Topic: "orders", Key: id, Payload: body}); err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = placeOrder
}
