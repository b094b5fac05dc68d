package inboxtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxtest"
	"github.com/tandem-outbox/tandem/outbox"
)

// A message that comes twice is handled once.
func ExampleConsumer_Deliver() {
	// in a _test.go file
	TestBilling := func(t *testing.T, pool *pgxpool.Pool, handler inbox.Handler) {
		billing := inboxtest.NewConsumer(pool, "billing", handler)
		m := inboxtest.FromEvent(outbox.Event{Topic: "orders", Key: "o-1", Type: "order.placed"})
		for _, want := range []inboxtest.State{inboxtest.Handled, inboxtest.Duplicate} {
			if got := billing.Deliver(t, m); got.State != want {
				t.Errorf("the message is %v, it must be %s", got, want)
			}
		}
	}
	_ = TestBilling
}

// The handler's connection breaks at each step; the charge is made once all the same.
func ExampleRequireExactlyOnce() {
	// in a _test.go file
	TestCharge := func(t *testing.T, pool *pgxpool.Pool) {
		inboxtest.RequireExactlyOnce(t, inboxtest.Crash{
			Pool: pool,
			Handler: func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				_, err := tx.Exec(ctx, `INSERT INTO charges (order_id) VALUES ($1)`, string(m.Key))
				return err
			},
			Messages: []inbox.Message{inboxtest.FromEvent(outbox.Event{Topic: "orders", Key: "o-1"})},
			Reset: func() {
				if _, err := pool.Exec(t.Context(), `TRUNCATE charges`); err != nil {
					t.Fatal(err)
				}
			},
			Effects: func() any {
				var charges int
				if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM charges`).Scan(&charges); err != nil {
					t.Fatal(err)
				}
				return charges
			},
		})
	}
	_ = TestCharge
}
