package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/outbox"
)

// The order and its event are committed together, or neither is.
func Example() {
	placeOrder := func(ctx context.Context, pool *pgxpool.Pool, id string, body []byte) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO orders (id) VALUES ($1)", id); err != nil {
				return err
			}
			return outbox.Add(ctx, tx, outbox.Event{Topic: "orders", Key: id, Type: "order.placed", Payload: body})
		})
	}
	_ = placeOrder
}

// The event travels with the service's own statements, in one round trip.
func ExampleQueue() {
	placeOrder := func(ctx context.Context, tx pgx.Tx, id string, body []byte) error {
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO orders (id) VALUES ($1)", id)
		if err := outbox.Queue(ctx, batch, outbox.Event{Topic: "orders", Key: id, Payload: body}); err != nil {
			return err
		}
		return tx.SendBatch(ctx, batch).Close()
	}
	_ = placeOrder
}

// A writer that holds no row of the key locks the key before it reads.
func ExampleLockKey() {
	changeStock := func(ctx context.Context, tx pgx.Tx, sku string) error {
		if err := outbox.LockKey(ctx, tx, sku); err != nil {
			return err
		}
		var left []byte
		if err := tx.QueryRow(ctx, "SELECT json_build_object('left', sum(n)) FROM moves WHERE sku = $1", sku).Scan(&left); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Event{Topic: "stock", Key: sku, Payload: left})
	}
	_ = changeStock
}

// What is wrong is asked by type, never by text.
func ExampleInvalidEventError() {
	err := outbox.Queue(context.Background(), &pgx.Batch{},
		outbox.Event{Topic: "orders", Key: "1"},
		outbox.Event{Topic: strings.Repeat("x", 300), Key: "2"})

	var invalid *outbox.InvalidEventError
	if errors.As(err, &invalid) {
		fmt.Println("event:", invalid.Index)
		fmt.Println("field:", invalid.Field)
		fmt.Println("limit:", invalid.Limit)
		fmt.Println(invalid.Reason)
	}
	// Output:
	// event: 1
	// field: topic
	// limit: 249
	// has 300 characters, Kafka allows 249
}

// An id made beforehand can be stored or answered with.
func ExampleNewID() {
	id := outbox.NewID()
	err := outbox.Queue(context.Background(), &pgx.Batch{}, outbox.Event{ID: id, Topic: "orders"})
	fmt.Println(len(id), err)
	// Output: 36 <nil>
}

// A schema of another name has a Writer of its own.
func ExampleNewWriter() {
	_, err := outbox.NewWriter("billing_outbox")
	fmt.Println(err)
	_, err = outbox.NewWriter("Billing")
	fmt.Println(err != nil)
	// Output:
	// <nil>
	// true
}
