package inboxkafka_test

import (
	"context"
	"encoding/json"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

// A service that charges for every order once.
func Example() {
	run := func(pool *pgxpool.Pool) error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{
			Brokers:  []string{"localhost:9092"},
			Consumer: "billing",
			Topics:   []string{"orders"},
		}, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			_, err := tx.Exec(ctx, `INSERT INTO charges (order_id) VALUES ($1)`, string(m.Key))
			return err
		})
		if err != nil {
			return err
		}
		return consumer.Run(ctx)
	}
	_ = run
}

// Producers that know nothing of CloudEvents: the id is in the payload.
func ExampleConfig_messageID() {
	config := inboxkafka.Config{
		Consumer: "billing",
		MessageID: func(m inbox.Message) (string, error) {
			var payment struct{ ID string }
			err := json.Unmarshal(m.Value, &payment)
			return payment.ID, err
		},
	}
	_ = config
}

// Effects that are written as a set: one statement for all new messages of a
// transaction.
func ExampleNewBatchConsumer() {
	run := func(ctx context.Context, pool *pgxpool.Pool, config inboxkafka.Config) error {
		consumer, err := inboxkafka.NewBatchConsumer(config, pool, func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
			orders := make([]string, len(batch))
			for i, m := range batch {
				orders[i] = string(m.Key)
			}
			_, err := tx.Exec(ctx, `INSERT INTO charges (order_id) SELECT unnest($1::text[])`, orders)
			return err
		})
		if err != nil {
			return err
		}
		return consumer.Run(ctx)
	}
	_ = run
}

// What is done about messages that a handler cannot take.
func ExampleConfig_policies() {
	config := inboxkafka.Config{
		Consumer: "billing",
		Hold:     inboxkafka.HoldPartition, // strict order, whatever it costs
		Policies: inboxkafka.Policies{
			Tombstone: inboxkafka.Skip,
			MissingID: inboxkafka.Stop,
		},
	}
	_ = config
}
