package inboxtest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Consumer hands messages to a handler as a runner does that consumes Kafka: in a
// transaction that records their ids. Two with the same name in the same database
// are two processes of one service.
type Consumer struct {
	apply *apply.Applier
}

// NewConsumer makes a Consumer of that name for a handler.
func NewConsumer(pool *pgxpool.Pool, name string, handler inbox.Handler) *Consumer {
	return newConsumer(apply.Pool(pool), name, true, func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
		return handler(ctx, s.Tx, m[0])
	})
}

// NewBatchConsumer is [NewConsumer] for a handler of batches.
func NewBatchConsumer(pool *pgxpool.Pool, name string, handler inbox.BatchHandler) *Consumer {
	return newConsumer(apply.Pool(pool), name, false, func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
		return handler(ctx, s.Tx, m)
	})
}

// NewSQLConsumer is [NewConsumer] for database/sql. The handle must have been opened
// with pgx's driver (github.com/jackc/pgx/v5/stdlib).
func NewSQLConsumer(db *sql.DB, name string, handler inboxsql.Handler) *Consumer {
	return newConsumer(apply.SQL(db), name, true, func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
		return handler(ctx, s.SQL, m[0])
	})
}

func newConsumer(database apply.Database, name string, each bool, handler apply.Handler) *Consumer {
	return &Consumer{apply.New(apply.Config{
		Database: database, Schema: schema.Default, Consumer: name, Each: each,
		LockTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second,
		Handler: func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
			if each {
				ctx = inbox.WithCause(ctx, m[0])
			}
			return handler(ctx, s, m)
		},
	})}
}

// Deliver delivers a message, and returns what became of it. To deliver it twice is
// to call this twice.
//
// What fails or is parked is reported and not kept: the next delivery of the message
// is like its first. The policies are a runner's defaults: messages without an id,
// tombstones, those that are malformed and those whose ids cannot be proved new are
// parked, without the handler being called.
//
// An error of the database fails the test, and so does a handler that ends the
// transaction itself.
func (c *Consumer) Deliver(t testing.TB, m inbox.Message) Outcome {
	t.Helper()
	return c.DeliverBatch(t, m)[0]
}

// DeliverBatch delivers messages in one transaction, in their order, as far as none
// fails, and returns what became of each. See [Consumer.Deliver].
func (c *Consumer) DeliverBatch(t testing.TB, messages ...inbox.Message) []Outcome {
	t.Helper()
	outcomes, err := c.deliver(t.Context(), messages)
	if err != nil {
		t.Fatalf("inboxtest: %v", err)
	}
	return outcomes
}
