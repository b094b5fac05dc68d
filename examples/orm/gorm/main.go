// Gorm is a shop on GORM. service.go is to be copied; README.md, one directory up, says
// what this prints.
package main

import (
	"context"
	"database/sql"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/examples/orm/internal/story"
)

func main() {
	servers.Main("gorm", func(ctx context.Context, s *servers.Servers) error {
		return story.Tell(ctx, s, func(db *sql.DB, orders, charges string) (story.Shop, error) {
			g, err := open(db, false)
			shop := &shop{db: g, orders: orders, charges: charges}
			return story.Shop{
				Place: func(ctx context.Context, order string, cents int) error {
					return shop.place(ctx, Order{ID: order, Cents: cents})
				},
				Charge: func(ctx context.Context, id, order string, cents int) error {
					return shop.charge(ctx, id, Order{ID: order, Cents: cents})
				},
				ChargeMessage: shop.chargeMessage,
			}, err
		})
	})
}
