package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/tandem-outbox/tandem/examples/orm/internal/testorm"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

func TestMain(m *testing.M) {
	// GORM's cache of prepared statements has no way to end its goroutine.
	testservers.Main(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// by is a shop's parts for its tests.
func by(db *gorm.DB) testorm.Shop {
	s := &shop{db: db, orders: testorm.Orders, charges: testorm.Charges}
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
	for name, prepare := range map[string]bool{"as it comes": false, "with prepared statements": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, db := testorm.Database(t)
			g, err := open(db, prepare)
			require.NoError(t, err)
			testorm.RequirePromise(t, db, by(g))
		})
	}
}

func TestConsumer(t *testing.T) {
	t.Parallel()
	_, db := testorm.Database(t)
	g, err := open(db, false)
	require.NoError(t, err)
	testorm.RequireConsumer(t, db, by(g).ChargeMessage)
}

// A handle outside of a transaction is not taken for one.
func TestOutsideATransaction(t *testing.T) {
	t.Parallel()
	_, db := testorm.Database(t)
	for _, prepare := range []bool{false, true} {
		g, err := open(db, prepare)
		require.NoError(t, err)
		_, is := g.Statement.ConnPool.(outboxsql.Tx)
		require.False(t, is)
	}
}
