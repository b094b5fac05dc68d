package main

import (
	"context"
	"database/sql"
	"encoding/json"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

// Order is a row of table orders, and an event's payload.
type Order struct {
	ID    string `json:"id" gorm:"primaryKey"`
	Cents int    `json:"cents"`
	Note  string `json:"note"`
}

// Charge is a row of table charges.
type Charge struct {
	OrderID string `gorm:"primaryKey"`
	Cents   int
}

// shop takes orders and charges them.
type shop struct {
	db              *gorm.DB
	orders, charges string // topics
}

// open opens GORM on a connection that speaks PostgreSQL by pgx.
func open(db *sql.DB, prepareStatements bool) (*gorm.DB, error) {
	return gorm.Open(postgres.New(postgres.Config{Conn: db}), &gorm.Config{PrepareStmt: prepareStatements, Logger: logger.Discard})
}

// place is a writer: the row and its event.
func (s *shop) place(ctx context.Context, o Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&o).Error; err != nil {
			return err
		}
		return outboxsql.Add(ctx, tx.Statement.ConnPool.(outboxsql.Tx),
			outbox.Event{Topic: s.orders, Key: o.ID, Type: "order.placed", Payload: body})
	})
}

// charge is for what comes twice by any other way than Kafka, with an id of its own.
func (s *shop) charge(ctx context.Context, id string, o Order) error {
	return s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		first, err := inboxsql.Once(ctx, tx.Statement.ConnPool.(inboxsql.Tx), "billing", id)
		if err != nil || !first {
			return err
		}
		return tx.Create(&Charge{OrderID: o.ID, Cents: o.Cents}).Error
	})
}

// chargeMessage is a handler for inboxkafka.NewSQLConsumer: a session of GORM's in the
// consumer's transaction.
func (s *shop) chargeMessage(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	o, err := inbox.Decode(inbox.JSON[Order](), m)
	if err != nil {
		return err // and the message is parked
	}
	session := s.db.Session(&gorm.Session{Context: ctx})
	session.Statement.ConnPool = tx
	if err := session.Create(&Charge{OrderID: o.ID, Cents: o.Cents}).Error; err != nil {
		return err
	}
	return outboxsql.Add(ctx, tx, outbox.Event{Topic: s.charges, Key: o.ID, Type: "order.charged"})
}
