package main

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/outbox"
)

const orderTables = `CREATE TABLE orders (id text PRIMARY KEY, sku text NOT NULL, pieces integer NOT NULL, state text NOT NULL, event uuid NOT NULL)`

// Order is what a customer wants, and the payload of all events.
type Order struct {
	ID     string `json:"id"`
	SKU    string `json:"sku"`
	Pieces int    `json:"pieces"`
}

// Topics are where the services meet.
type Topics struct{ Orders, Stock string }

// placeOrder is the beginning. The event's key is the article: so its orders are
// reserved in the order in which they came, and by one consumer at a time.
func placeOrder(ctx context.Context, pool *pgxpool.Pool, topics Topics, o Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	event := outbox.Event{ID: outbox.NewID(), Topic: topics.Orders, Key: o.SKU, Type: "order.placed", Payload: body}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1, $2, $3, 'placed', $4)`, o.ID, o.SKU, o.Pieces, event.ID); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, event)
	})
}

// handleStock hears what became of the orders.
func handleStock() inbox.Handler {
	router := inbox.NewRouter()
	become := func(state string) inbox.TypedHandler[Order] {
		return func(ctx context.Context, tx pgx.Tx, _ inbox.Message, o Order) error {
			_, err := tx.Exec(ctx, `UPDATE orders SET state = $2 WHERE id = $1`, o.ID, state)
			return err
		}
	}
	inbox.On(router, "stock.reserved", inbox.JSON[Order](), become("confirmed"))
	inbox.On(router, "stock.refused", inbox.JSON[Order](), become("cancelled"))
	return router.Handler()
}
