// Quickstart is the service of docs/getting-started.md: it places orders and, as
// another service would, bills each of them once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	pool, err := pgxpool.New(ctx, os.Getenv("TANDEM_DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	brokers := strings.Split(os.Getenv("TANDEM_KAFKA_BROKERS"), ",")
	switch {
	case len(args) == 1 && args[0] == "setup":
		return setup(ctx, pool, brokers)
	case len(args) == 3 && args[0] == "place":
		cents, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return place(ctx, pool, Order{ID: args[1], Cents: cents})
	case len(args) == 1 && args[0] == "bill":
		return bill(ctx, pool, brokers)
	}
	return errors.New("usage: setup | place ID CENTS | bill")
}

// Order is both the row and the event's payload.
type Order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

// place writes the row and the event in one transaction.
func place(ctx context.Context, pool *pgxpool.Pool, o Order) error {
	payload, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO orders (id, cents) VALUES ($1, $2)`, o.ID, o.Cents); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Event{Topic: "orders", Key: o.ID, Type: "order.placed", Payload: payload})
	})
}

// bill charges every order once, however often its event is delivered.
func bill(ctx context.Context, pool *pgxpool.Pool, brokers []string) error {
	router := inbox.NewRouter()
	inbox.On(router, "order.placed", inbox.JSON[Order](), func(ctx context.Context, tx pgx.Tx, _ inbox.Message, o Order) error {
		fmt.Println("charging", o.ID)
		_, err := tx.Exec(ctx, `INSERT INTO charges (order_id, cents) VALUES ($1, $2)`, o.ID, o.Cents)
		return err
	})
	consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers:  brokers,
		Consumer: "billing",
		Topics:   []string{"orders"},
	}, pool, router.Handler())
	if err != nil {
		return err
	}
	return consumer.Run(ctx) // until ctx ends
}

// setup makes the service's own tables and topic.
func setup(ctx context.Context, pool *pgxpool.Pool, brokers []string) error {
	if _, err := pool.Exec(ctx, `
		CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, cents integer NOT NULL);
		CREATE TABLE IF NOT EXISTS charges (order_id text NOT NULL, cents integer NOT NULL)`); err != nil {
		return err
	}
	client := &kafka.Client{Addr: kafka.TCP(brokers...)}
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: "orders", NumPartitions: 6, ReplicationFactor: 1}},
	})
	if err != nil {
		return err
	}
	if err := made.Errors["orders"]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return err
	}
	return nil
}
