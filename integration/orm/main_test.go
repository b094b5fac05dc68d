package orm_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

func TestMain(m *testing.M) {
	// GORM's cache of prepared statements has no way to end its goroutine.
	testservers.Main(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// Order is a row of the shop's; both ORMs take it for one of table orders.
type Order struct {
	ID    string `json:"id" gorm:"primaryKey" bun:",pk"`
	Cents int    `json:"cents"`
	Note  string `json:"note"`
}

// Charge is a row of the billing's, table charges.
type Charge struct {
	OrderID string `gorm:"primaryKey" bun:",pk"`
	Cents   int
}

// placed is the event that tells of an order.
func placed(o Order) (outbox.Event, error) {
	body, err := json.Marshal(o)
	return outbox.Event{Topic: "orders", Key: o.ID, Type: "order.placed", Payload: body}, err
}

// service is what each ORM does here in its own way. Where fail is not nil, it
// goes wrong with that after everything has been written.
type service struct {
	place  func(ctx context.Context, o Order, fail error) error
	charge func(ctx context.Context, m inbox.Message, o Order, fail error) error
}

// database is a new one with the tables of both services.
func database(t *testing.T) (address string, db *sql.DB) {
	t.Helper()
	address = testservers.Migrated(t)
	db, err := sql.Open("pgx", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	for _, table := range []string{
		`CREATE TABLE orders (id text PRIMARY KEY, cents integer NOT NULL, note text NOT NULL)`,
		`CREATE TABLE charges (order_id text PRIMARY KEY, cents integer NOT NULL)`,
	} {
		_, err = db.ExecContext(t.Context(), table)
		require.NoError(t, err)
	}
	return address, db
}

func count(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}
