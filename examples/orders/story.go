package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/inbox"
)

const placed = 30 // orders, of tea and coffee in turn

func story(ctx context.Context, s *servers.Servers) error {
	if _, err := s.Pool.Exec(ctx, orderTables+";"+inventoryTables+";"+shippingTables); err != nil {
		return err
	}
	if _, err := s.Pool.Exec(ctx, `INSERT INTO stock VALUES ('tea', 10), ('coffee', 20)`); err != nil {
		return err
	}
	var topics Topics
	var err error
	if topics.Orders, err = s.Topic(ctx, "orders", 3); err != nil {
		return err
	}
	if topics.Stock, err = s.Topic(ctx, "stock", 3); err != nil {
		return err
	}
	for i := range placed {
		o := Order{ID: fmt.Sprintf("o-%02d", i), SKU: []string{"tea", "coffee"}[i%2], Pieces: 1}
		if err := placeOrder(ctx, s.Pool, topics, o); err != nil {
			return err
		}
	}
	s.Relay(ctx, servers.LoseAnswers)
	if err := work(ctx, s, topics); err != nil {
		return err
	}
	return count(ctx, s, topics)
}

// work lets the services work until they have nothing left to do, and disturbs them.
func work(ctx context.Context, s *servers.Servers, topics Topics) error {
	cut := &cutOff{servers: s}
	inventory, err := consume(s.Pool, s.Brokers, "inventory", topics.Orders, cut.amid(handleOrders(topics)))
	if err != nil {
		return err
	}
	orders, err := consume(s.Pool, s.Brokers, "orders", topics.Stock, handleStock())
	if err != nil {
		return err
	}
	shipping, err := consume(s.Pool, s.Brokers, "shipping", topics.Stock, handleReserved())
	if err != nil {
		return err
	}
	successor, err := consume(s.Pool, s.Brokers, "shipping", topics.Stock, handleReserved())
	if err != nil {
		return err
	}
	s.Go(ctx, "inventory", inventory.Run)
	s.Go(ctx, "orders", orders.Run)
	stop := s.Go(ctx, "shipping", shipping.Run)
	err = servers.Await(ctx, "something is shipped", func() (bool, error) {
		n, err := s.Count(ctx, `SELECT count(*) FROM shipments`)
		return n > 0, err
	})
	if err != nil {
		return err
	}
	stop()
	s.Go(ctx, "shipping", successor.Run)
	if err := servers.CaughtUp(ctx, "inventory", inventory, 2*placed); err != nil {
		return err
	}
	if err := servers.CaughtUp(ctx, "orders", orders, 2*placed); err != nil {
		return err
	}
	if err := servers.CaughtUp(ctx, "shipping", successor, 2*placed); err != nil {
		return err
	}
	if cut.handled.Load() <= placed {
		return errors.New("inventory was not cut off: it has repeated nothing")
	}
	return nil
}

// cutOff ends a consumer's session in the database, once, in the middle of its work.
type cutOff struct {
	servers *servers.Servers
	handled atomic.Int64
}

const cutAt = 5 // messages

func (c *cutOff) amid(handle inbox.Handler) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if c.handled.Add(1) == cutAt {
			var session int
			if err := tx.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&session); err != nil {
				return err
			}
			if _, err := c.servers.Pool.Exec(ctx, `SELECT pg_terminate_backend($1)`, session); err != nil {
				return err
			}
		}
		return handle(ctx, tx, m)
	}
}

// count prints what came of the orders, and compares it with what has to.
func count(ctx context.Context, s *servers.Servers, topics Topics) error {
	fmt.Println("every event is sent twice, inventory loses its database at work, shipping is replaced")
	fmt.Println()
	var wrong error
	line := func(what string, n, promised int, err error) {
		fmt.Printf("%-44s %3d\n", what, n)
		if err == nil && n != promised {
			err = fmt.Errorf("%s: %d, and should be %d", what, n, promised)
		}
		wrong = errors.Join(wrong, err)
	}
	rows := func(what string, promised int, query string) {
		n, err := s.Count(ctx, query)
		line(what, n, promised, err)
	}
	records := func(what, topic string) {
		n, err := s.Records(ctx, topic)
		line(what, n, 2*placed, err)
	}
	rows("orders placed", placed, `SELECT count(*) FROM orders`)
	records("records of order.placed", topics.Orders)
	rows("pieces of tea taken, of 10", 10, `SELECT 10 - pieces FROM stock WHERE sku = 'tea'`)
	rows("pieces of coffee taken, of 20", 15, `SELECT 20 - pieces FROM stock WHERE sku = 'coffee'`)
	records("records of stock.reserved and .refused", topics.Stock)
	rows("shipments", 25, `SELECT count(*) FROM shipments`)
	rows("orders shipped", 25, `SELECT count(DISTINCT order_id) FROM shipments`)
	rows("shipments that know their order's event", 25, `SELECT count(*) FROM shipments s JOIN orders o ON o.id = s.order_id AND o.event::text = s.began_with`)
	rows("orders confirmed", 25, `SELECT count(*) FROM orders WHERE state = 'confirmed'`)
	rows("orders cancelled, the last ones of tea", 5, `SELECT count(*) FROM orders WHERE state = 'cancelled' AND id IN ('o-20', 'o-22', 'o-24', 'o-26', 'o-28')`)
	return wrong
}
