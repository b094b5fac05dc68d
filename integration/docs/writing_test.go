package docs_test

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/outbox"
)

var _ = tell("docs/writing.md", func(p *page) {
	p.run("tandem migrate up --database-url " + p.url("owner"))
	p.topics("orders", "stock")
	p.sql() // the grant
	ctx, shop := p.Context(), p.pool("shop")

	require.NoError(p, placeOrder(ctx, shop, Order{"o-1", 100}))
	require.NoError(p, pgx.BeginFunc(ctx, shop, func(tx pgx.Tx) error {
		return placeOrderBatched(ctx, tx, Order{"o-2", 200}, []byte(`{}`))
	}))
	db := stdlib.OpenDBFromPool(shop)
	defer db.Close()
	require.NoError(p, cancelOrder(ctx, db, "o-2"))
	require.Len(p, p.sql(), 1, "tandem.add answers with the id")
	p.sql() // the trigger
	p.exec("shop", `INSERT INTO moves (sku, n) VALUES ('salt', 1)`)
	p.exec("owner", `DROP TRIGGER moved ON moves`)
	for range 2 {
		require.NoError(p, pgx.BeginFunc(ctx, shop, func(tx pgx.Tx) error { return moveStock(ctx, tx, "tea", 3) }))
	}
	require.True(p, isOurMistake(outbox.Queue(ctx, &pgx.Batch{}, outbox.Event{Topic: "no topic"})))

	p.exec("owner", `GRANT tandem_relay TO relay`)
	p.during(func(ctx context.Context) error { return runRelay(ctx, p.url("relay"), p.brokers) }, func() {
		orders := p.read("orders", 4)
		placed := orders["o-1"][0]
		require.JSONEq(p, `{"id": "o-1", "cents": 100}`, string(placed.Value))
		require.Equal(p, "order.placed", header(placed, "ce_type"))
		require.Equal(p, "/tandem/shop", header(placed, "ce_source"))
		require.Equal(p, "order.cancelled", header(orders["o-2"][1], "ce_type"))
		require.Equal(p, "application/json", header(orders["o-3"][0], "content-type"))
		stock := p.read("stock", 3)
		require.JSONEq(p, `{"sku": "salt", "n": 1}`, string(stock["salt"][0].Value))
		require.JSONEq(p, `{"left": 6}`, string(stock["tea"][1].Value))
	})
})
