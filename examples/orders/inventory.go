package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/outbox"
)

const inventoryTables = `CREATE TABLE stock (sku text PRIMARY KEY, pieces integer NOT NULL CHECK (pieces >= 0))`

// handleOrders takes pieces from the stock and tells what came of it. The message's
// id, the pieces and the event are committed together: nothing is reserved that
// nobody hears of, and nothing twice.
func handleOrders(topics Topics) inbox.Handler {
	router := inbox.NewRouter()
	inbox.On(router, "order.placed", inbox.JSON[Order](), func(ctx context.Context, tx pgx.Tx, m inbox.Message, o Order) error {
		reserved, err := tx.Exec(ctx, `UPDATE stock SET pieces = pieces - $2 WHERE sku = $1 AND pieces >= $2`, o.SKU, o.Pieces)
		if err != nil {
			return err
		}
		outcome := "stock.reserved"
		if reserved.RowsAffected() == 0 {
			outcome = "stock.refused"
		}
		// ctx knows the message: the event will say what it comes from.
		return outbox.Add(ctx, tx, outbox.Event{Topic: topics.Stock, Key: o.ID, Type: outcome, Payload: m.Value})
	})
	return router.Handler()
}
