package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox"
)

const shippingTables = `CREATE TABLE shipments (order_id text NOT NULL, sku text NOT NULL, pieces integer NOT NULL, began_with text NOT NULL)`

// handleReserved ships. What an outbox's event comes from is in its headers, so each
// shipment knows the event that began it all, two services ago.
func handleReserved() inbox.Handler {
	router := inbox.NewRouter()
	inbox.On(router, "stock.reserved", inbox.JSON[Order](), func(ctx context.Context, tx pgx.Tx, m inbox.Message, o Order) error {
		_, err := tx.Exec(ctx, `INSERT INTO shipments VALUES ($1, $2, $3, $4)`, o.ID, o.SKU, o.Pieces, m.Header("ce_correlationid"))
		return err
	})
	router.Handle("stock.refused", inbox.Ignore)
	return router.Handler()
}
