package outboxtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxtest"
)

// A test of code that takes a transaction rolls it back at the end.
func ExampleRequireAdded() {
	// in a _test.go file
	TestShip := func(t *testing.T, pool *pgxpool.Pool) {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		if err := ship(t.Context(), tx, "o-1"); err != nil {
			t.Fatal(err)
		}
		outboxtest.RequireAdded(t, tx, outbox.Event{Topic: "parcels", Key: "o-1", Type: "parcel.sent"})
	}
	_ = TestShip
}

// A test of code that commits by itself watches the log, and runs a relay.
func ExampleWatch() {
	// in a _test.go file
	TestShop := func(t *testing.T, serverURL string, placeOrder func(context.Context, string) error) {
		databaseURL := outboxtest.Database(t, serverURL)
		log := outboxtest.Watch(t, databaseURL)
		if err := placeOrder(t.Context(), databaseURL); err != nil {
			t.Fatal(err)
		}
		log.RequireAdded(t, outbox.Event{Topic: "orders", Key: "o-1"})
		outboxtest.RequirePublished(t, outboxtest.Drain(t, databaseURL), outbox.Event{Topic: "orders", Key: "o-1"})
	}
	_ = TestShop
}

func ship(ctx context.Context, tx pgx.Tx, id string) error {
	return outbox.Add(ctx, tx, outbox.Event{Topic: "parcels", Key: id, Type: "parcel.sent"})
}
