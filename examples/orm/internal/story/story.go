// Package story is what both examples do with their shop.
package story

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
)

const (
	placed   = 10
	payments = 3
)

// Shop is one of them, as the story needs it.
type Shop struct {
	Place         func(ctx context.Context, order string, cents int) error
	Charge        func(ctx context.Context, id, order string, cents int) error
	ChargeMessage inboxsql.Handler
}

// Tell tells it: open makes the shop.
func Tell(ctx context.Context, s *servers.Servers, open func(db *sql.DB, orders, charges string) (Shop, error)) error {
	for _, table := range []string{
		`CREATE TABLE orders (id text PRIMARY KEY, cents integer NOT NULL CHECK (cents > 0), note text NOT NULL)`,
		`CREATE TABLE charges (order_id text NOT NULL, cents integer NOT NULL)`, // nothing here refuses a second one
	} {
		if _, err := s.Pool.Exec(ctx, table); err != nil {
			return err
		}
	}
	orders, err := s.Topic(ctx, "orders", 3)
	if err != nil {
		return err
	}
	charges, err := s.Topic(ctx, "charges", 3)
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(s.Pool)
	defer db.Close()
	shop, err := open(db, orders, charges)
	if err != nil {
		return err
	}
	if err := place(ctx, shop); err != nil {
		return err
	}
	if err := chargeMessages(ctx, s, db, shop, orders, charges); err != nil {
		return err
	}
	return chargePayments(ctx, s, shop)
}

func place(ctx context.Context, shop Shop) error {
	for n := range placed {
		if err := shop.Place(ctx, fmt.Sprintf("o-%d", n+1), 100); err != nil {
			return err
		}
	}
	if err := shop.Place(ctx, "o-refused", 0); err == nil {
		return errors.New("an order of 0 cents was placed")
	}
	fmt.Printf("%d orders are placed, one more is rolled back\n", placed)
	return nil
}

// chargeMessages lets a relay send every event twice and a consumer charge.
func chargeMessages(ctx context.Context, s *servers.Servers, db *sql.DB, shop Shop, orders, charges string) error {
	consumer, err := inboxkafka.NewSQLConsumer(inboxkafka.Config{
		Brokers: s.Brokers, Consumer: orders + "-billing", Topics: []string{orders},
	}, db, shop.ChargeMessage)
	if err != nil {
		return err
	}
	stop := s.Go(ctx, "billing", consumer.Run)
	defer stop() // before its database is closed
	defer s.Relay(ctx, servers.LoseAnswers)()
	err = servers.Await(ctx, "billing has seen each message twice", func() (bool, error) {
		return consumer.Stats().Duplicates >= placed, nil
	})
	if err != nil {
		return err
	}
	err = servers.Await(ctx, "the events of the charges are published", func() (bool, error) {
		n, err := s.Records(ctx, charges)
		return n >= 2*placed, err
	})
	if err != nil {
		return err
	}
	n, err := s.Count(ctx, `SELECT count(*) FROM charges`)
	if err != nil {
		return err
	}
	fmt.Printf("each is published twice, and there are %d charges\n", n)
	return nil
}

// chargePayments is a webhook that is called three times for each payment.
func chargePayments(ctx context.Context, s *servers.Servers, shop Shop) error {
	for n := range 3 * payments {
		id := fmt.Sprintf("payment-%d", n%payments)
		if err := shop.Charge(ctx, id, id, 100); err != nil {
			return err
		}
	}
	n, err := s.Count(ctx, `SELECT count(*) FROM charges WHERE order_id LIKE 'payment-%'`)
	if err != nil {
		return err
	}
	fmt.Printf("%d payments come three times each, and there are %d charges more\n", payments, n)
	return nil
}
