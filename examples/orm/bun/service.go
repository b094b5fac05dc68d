package main

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

// Order is a row of table orders, and an event's payload.
type Order struct {
	ID    string `json:"id" bun:",pk"`
	Cents int    `json:"cents"`
	Note  string `json:"note"`
}

// Charge is a row of table charges.
type Charge struct {
	OrderID string `bun:",pk"`
	Cents   int
}

// shop takes orders and charges them.
type shop struct {
	db              *bun.DB
	orders, charges string // topics
}

// open opens bun on a connection by pgx, or by bun's own driver.
func open(db *sql.DB) *bun.DB { return bun.NewDB(db, pgdialect.New()) }

// place is a writer: the row and its event.
func (s *shop) place(ctx context.Context, o Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&o).Exec(ctx); err != nil {
			return err
		}
		return outboxsql.Add(ctx, tx, outbox.Event{Topic: s.orders, Key: o.ID, Type: "order.placed", Payload: body})
	})
}

// charge is for what comes twice by any other way than Kafka, with an id of its own.
func (s *shop) charge(ctx context.Context, id string, o Order) error {
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		first, err := inboxsql.Once(ctx, tx, "billing", id)
		if err != nil || !first {
			return err
		}
		_, err = tx.NewInsert().Model(&Charge{OrderID: o.ID, Cents: o.Cents}).Exec(ctx)
		return err
	})
}

// chargeMessage is a handler for inboxkafka.NewSQLConsumer: bun's statements on the
// consumer's transaction.
func (s *shop) chargeMessage(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	o, err := inbox.Decode(inbox.JSON[Order](), m)
	if err != nil {
		return err // and the message is parked
	}
	if _, err := s.db.NewInsert().Conn(tx).Model(&Charge{OrderID: o.ID, Cents: o.Cents}).Exec(ctx); err != nil {
		return err
	}
	return outboxsql.Add(ctx, tx, outbox.Event{Topic: s.charges, Key: o.ID, Type: "order.charged"})
}
