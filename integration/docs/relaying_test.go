package docs_test

import (
	"context"

	"github.com/stretchr/testify/require"
)

var _ = tell("docs/relaying.md", func(p *page) {
	p.topics("orders")
	p.sh()                                                                                   // migrate
	p.exec("postgres", `DROP OWNED BY shop, relay, billing; DROP ROLE shop, relay, billing`) // the page makes them
	p.sql()
	p.sql() // who may connect
	p.exec("owner", `GRANT INSERT, UPDATE ON orders TO shop`)
	ctx, shop := p.Context(), p.pool("shop")
	require.NoError(p, placeOrder(ctx, shop, Order{"o-1", 100}))
	require.Contains(p, p.sh(), "published 1 event")
	p.during(func(ctx context.Context) error { return runRelay(ctx, p.url("relay"), p.brokers) }, func() {
		require.NoError(p, placeOrder(ctx, shop, Order{"o-2", 100}))
		require.Len(p, p.read("orders", 2), 2)
	})
	p.yaml("tandem.yaml")
	require.Contains(p, p.run("tandem relay --until-empty --config tandem.yaml"), "published 0 events")
	looked := p.sh()
	require.Contains(p, looked, "dry run: 0 parked events would be sent again")
	require.Contains(p, looked, "dry run: 2 events would be published again")
})
