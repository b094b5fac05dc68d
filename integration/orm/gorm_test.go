package orm_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

func openGORM(t *testing.T, db *sql.DB, prepare bool) *gorm.DB {
	t.Helper()
	g, err := gorm.Open(postgres.New(postgres.Config{Conn: db}), &gorm.Config{PrepareStmt: prepare, Logger: logger.Discard})
	require.NoError(t, err)
	return g
}

func onGORM(db *gorm.DB) service {
	return service{
		place: func(ctx context.Context, o Order, fail error) error {
			event, err := placed(o)
			if err != nil {
				return err
			}
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				if err := tx.Create(&o).Error; err != nil {
					return err
				}
				if err := outboxsql.Add(ctx, tx.Statement.ConnPool.(outboxsql.Tx), event); err != nil {
					return err
				}
				return fail
			})
		},
		charge: func(ctx context.Context, m inbox.Message, o Order, fail error) error {
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				first, err := inboxsql.Once(ctx, tx.Statement.ConnPool.(inboxsql.Tx), "billing", m.ID)
				if err != nil || !first {
					return err
				}
				if err := tx.Create(&Charge{OrderID: o.ID, Cents: o.Cents}).Error; err != nil {
					return err
				}
				return fail
			})
		},
	}
}

// chargeByGORM is a handler for inboxkafka.NewSQLConsumer: a session of GORM's in
// the consumer's transaction.
func chargeByGORM(db *gorm.DB) func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	codec := inbox.JSON[Order]()
	return func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		o, err := inbox.Decode(codec, m)
		if err != nil {
			return err // and the message is parked
		}
		session := db.Session(&gorm.Session{Context: ctx})
		session.Statement.ConnPool = tx
		if err := session.Create(&Charge{OrderID: o.ID, Cents: o.Cents}).Error; err != nil {
			return err
		}
		return outboxsql.Add(ctx, tx, charged(o))
	}
}

// A handle outside of a transaction is not taken for one.
func TestGORMOutsideATransaction(t *testing.T) {
	t.Parallel()
	_, db := database(t)
	for _, prepare := range []bool{false, true} {
		_, is := openGORM(t, db, prepare).Statement.ConnPool.(outboxsql.Tx)
		require.False(t, is)
	}
}
