// Command consumer is the service that consumes, in a run of package faults: an
// ordinary user of inboxkafka. It ends when it gets SIGTERM, and then says on its
// standard output, as JSON, what it has counted.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/integration/faults"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

func run() error {
	var o faults.Order
	if err := json.Unmarshal([]byte(os.Getenv(faults.ConsumerVariable)), &o); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	config, err := pgxpool.ParseConfig(o.Database)
	if err != nil {
		return err
	}
	config.ConnConfig.ConnectTimeout = 2 * time.Second
	config.MaxConns = 12
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	consumer, err := newConsumer(o, pool)
	if err != nil {
		return err
	}
	if err := consumer.Run(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(consumer.Stats())
}

// newConsumer has pauses that a run can wait for.
func newConsumer(o faults.Order, pool *pgxpool.Pool) (*inboxkafka.Consumer, error) {
	session := time.Duration(o.Session) * time.Millisecond
	config := inboxkafka.Config{
		Brokers: o.Brokers, Consumer: o.Consumer, Topics: o.Topics,
		BatchSize: 50, MaxAttempts: o.Attempts, RetryMin: 10 * time.Millisecond, RetryMax: 100 * time.Millisecond,
		LockTimeout: 200 * time.Millisecond, IdleTimeout: time.Second,
		SessionTimeout: session, DrainTimeout: session / 2, StartTimeout: 5 * time.Minute,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	h := handler{receipts: o.Receipts}
	switch o.Handler {
	case "each":
		return inboxkafka.NewConsumer(config, pool, h.each)
	case "batch":
		return inboxkafka.NewBatchConsumer(config, pool, h.batch)
	case "sql":
		return inboxkafka.NewSQLConsumer(config, stdlib.OpenDBFromPool(pool), h.eachSQL)
	}
	return nil, fmt.Errorf("there is no handler %q", o.Handler)
}
