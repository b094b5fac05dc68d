package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

const tables = `
CREATE TABLE documents (customer text NOT NULL, name text NOT NULL);
CREATE TABLE usage (meter text, customer text, calls bigint NOT NULL, PRIMARY KEY (meter, customer))`

// Call is what a customer pays for.
type Call struct {
	Customer string `json:"customer"`
}

// createDocument is a call of the API. It is counted if it is committed, and then
// once or not at all: the relay sends the event, and whatever comes of that, never
// again. It has no key, since order means nothing to a sum.
func createDocument(ctx context.Context, pool *pgxpool.Pool, topic, customer, name string) error {
	call, err := json.Marshal(Call{Customer: customer})
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO documents VALUES ($1, $2)`, customer, name); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Event{Topic: topic, Type: "api.called", Payload: call, AtMostOnce: true})
	})
}

// newMeter adds up the calls of a topic. At most once means that the offset is
// committed first, and that the inbox remembers nothing: no row for each message.
func newMeter(pool *pgxpool.Pool, brokers []string, topic, name string, delivery inboxkafka.Delivery) (*inboxkafka.Consumer, error) {
	return inboxkafka.NewBatchConsumer(inboxkafka.Config{
		Brokers:  brokers,
		Consumer: name,
		GroupID:  topic + "." + name, // defaults to Consumer; each run of this example has a topic and a group of its own
		Topics:   []string{topic},
		Delivery: delivery,
		// What fails is lost, so it is better to be patient first: with locks, and
		// with a consumer that is slow for a moment.
		LockTimeout:    30 * time.Second,
		SessionTimeout: 30 * time.Second,
	}, pool, inbox.TypedBatch(inbox.JSON[Call](), func(ctx context.Context, tx pgx.Tx, batch []inbox.Decoded[Call]) error {
		sums := map[string]int64{}
		for _, decoded := range batch {
			sums[decoded.Value.Customer]++
		}
		return add(ctx, tx, name, sums)
	}))
}

// add is one statement for a batch. The customers are sorted, so that the batches of
// two partitions cannot wait for each other.
func add(ctx context.Context, tx pgx.Tx, meter string, sums map[string]int64) error {
	customers := slices.Sorted(maps.Keys(sums))
	calls := make([]int64, len(customers))
	for i, customer := range customers {
		calls[i] = sums[customer]
	}
	_, err := tx.Exec(ctx, `INSERT INTO usage SELECT $1, * FROM unnest($2::text[], $3::bigint[])
		ON CONFLICT (meter, customer) DO UPDATE SET calls = usage.calls + excluded.calls`, meter, customers, calls)
	return err
}
