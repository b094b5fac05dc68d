package main

import (
	"context"
	"database/sql"
	"testing"

	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/tandem-outbox/tandem/examples/orm/internal/testorm"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// by is a shop's parts for its tests.
func by(db *sql.DB) testorm.Shop {
	s := &shop{db: open(db), orders: testorm.Orders, charges: testorm.Charges}
	return testorm.Shop{
		Place: func(ctx context.Context, order string, cents int, note string) error {
			return s.place(ctx, Order{ID: order, Cents: cents, Note: note})
		},
		Charge: func(ctx context.Context, id, order string, cents int) error {
			return s.charge(ctx, id, Order{ID: order, Cents: cents})
		},
		ChargeMessage: s.chargeMessage,
	}
}

func TestPromise(t *testing.T) {
	t.Parallel()
	t.Run("on pgx", func(t *testing.T) {
		t.Parallel()
		_, db := testorm.Database(t)
		testorm.RequirePromise(t, db, by(db))
	})
	t.Run("on its own driver", func(t *testing.T) {
		t.Parallel()
		address, db := testorm.Database(t)
		own := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(address), pgdriver.WithInsecure(true)))
		t.Cleanup(func() { _ = own.Close() })
		testorm.RequirePromise(t, db, by(own))
	})
}

func TestConsumer(t *testing.T) {
	t.Parallel()
	_, db := testorm.Database(t)
	testorm.RequireConsumer(t, db, by(db).ChargeMessage)
}
