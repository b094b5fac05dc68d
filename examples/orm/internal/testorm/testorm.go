// Package testorm tests that a shop keeps Tandem's promise, whatever it is made with.
package testorm

import (
	"context"
	"database/sql"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql's driver
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// The topics of a shop that is tested.
const (
	Orders  = "orders"
	Charges = "charges"
)

// FailsAtTheEnd are the cents of what PostgreSQL refuses at COMMIT, when everything has
// been written.
const FailsAtTheEnd = 666

// Shop is a service by its parts.
type Shop struct {
	Place         func(ctx context.Context, order string, cents int, note string) error
	Charge        func(ctx context.Context, id, order string, cents int) error
	ChargeMessage inboxsql.Handler
}

// Database is a new one with the tables of a shop.
func Database(t *testing.T) (address string, db *sql.DB) {
	t.Helper()
	address = testservers.Migrated(t)
	db, err := sql.Open("pgx", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	for _, statement := range []string{
		`CREATE TABLE orders (id text PRIMARY KEY, cents integer NOT NULL, note text NOT NULL)`,
		`CREATE TABLE charges (order_id text PRIMARY KEY, cents integer NOT NULL)`,
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused at the end'; END $$`,
		`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.cents = 666) EXECUTE FUNCTION refuse()`,
		`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON charges DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.cents = 666) EXECUTE FUNCTION refuse()`,
	} {
		_, err = db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	return address, db
}

func count(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}
