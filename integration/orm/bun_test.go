package orm_test

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

func openBun(db *sql.DB) *bun.DB { return bun.NewDB(db, pgdialect.New()) }

func onBun(db *bun.DB) service {
	return service{
		place: func(ctx context.Context, o Order, fail error) error {
			event, err := placed(o)
			if err != nil {
				return err
			}
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.NewInsert().Model(&o).Exec(ctx); err != nil {
					return err
				}
				if err := outboxsql.Add(ctx, tx, event); err != nil {
					return err
				}
				return fail
			})
		},
		charge: func(ctx context.Context, m inbox.Message, o Order, fail error) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				first, err := inboxsql.Once(ctx, tx, "billing", m.ID)
				if err != nil || !first {
					return err
				}
				if _, err := tx.NewInsert().Model(&Charge{OrderID: o.ID, Cents: o.Cents}).Exec(ctx); err != nil {
					return err
				}
				return fail
			})
		},
	}
}

// chargeByBun is a handler for inboxkafka.NewSQLConsumer: bun's statements on the
// consumer's transaction.
func chargeByBun(db *bun.DB) func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	codec := inbox.JSON[Order]()
	return func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		o, err := inbox.Decode(codec, m)
		if err != nil {
			return err // and the message is parked
		}
		if _, err := db.NewInsert().Conn(tx).Model(&Charge{OrderID: o.ID, Cents: o.Cents}).Exec(ctx); err != nil {
			return err
		}
		return outboxsql.Add(ctx, tx, charged(o))
	}
}
