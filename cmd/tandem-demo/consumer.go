package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

// consume is the whole of a consumer's process.
func consume(ctx context.Context, who string) error {
	w, err := worldFromEnvironment()
	if err != nil {
		return err
	}
	pool, err := openPool(ctx, w.Database, partitions+2)
	if err != nil {
		return err
	}
	defer pool.Close()
	if who == withInbox {
		return chargeWithInbox(ctx, w, pool)
	}
	return chargeWithoutInbox(ctx, w, pool)
}

// chargeWithInbox charges once for each order, however often it is killed.
func chargeWithInbox(ctx context.Context, w *world, pool *pgxpool.Pool) error {
	consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers:        w.Brokers,
		Consumer:       w.group(withInbox),
		Topics:         []string{w.Topic},
		Schema:         w.Tandem,
		SessionTimeout: w.Session,
		DrainTimeout:   w.Session / 2,
		Logger:         slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		var o order
		if err := json.Unmarshal(m.Value, &o); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+w.table(charges(withInbox))+` VALUES ($1, $2)`, o.ID, o.Cents)
		return err
	})
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}

// chargeWithoutInbox is what is written everywhere: read some messages, do the
// work, let the client commit the offsets from time to time. Nothing is lost,
// and what was done after the last commit of offsets is done again.
func chargeWithoutInbox(ctx context.Context, w *world, pool *pgxpool.Pool) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:           w.Brokers,
		GroupID:           w.group(withoutInbox),
		Topic:             w.Topic,
		StartOffset:       kafka.FirstOffset,
		MaxWait:           100 * time.Millisecond,
		CommitInterval:    500 * time.Millisecond,
		SessionTimeout:    w.Session,
		HeartbeatInterval: w.Session / 5,
		RebalanceTimeout:  w.Session,
		JoinGroupBackoff:  100 * time.Millisecond,
	})
	defer reader.Close()
	for {
		batch, err := some(ctx, reader)
		if err != nil {
			return err
		}
		if err := charge(ctx, w, pool, batch); err != nil {
			return err
		}
		if err := reader.CommitMessages(ctx, batch...); err != nil {
			return fmt.Errorf("commit offsets: %w", err)
		}
	}
}

// some waits for a message and takes along what is there already.
func some(ctx context.Context, reader *kafka.Reader) ([]kafka.Message, error) {
	const most = 100
	m, err := reader.FetchMessage(ctx)
	for passing(err) { // the reader goes on by itself
		m, err = reader.FetchMessage(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	batch := []kafka.Message{m}
	soon, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	for len(batch) < most {
		m, err := reader.FetchMessage(soon)
		if errors.Is(err, context.DeadlineExceeded) || passing(err) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		batch = append(batch, m)
	}
	return batch, nil
}

// passing tells whether a broker's error is one of a moment, such as a group
// whose coordinator is being found.
func passing(err error) bool {
	var code kafka.Error
	return errors.As(err, &code) && code.Temporary()
}

func charge(ctx context.Context, w *world, pool *pgxpool.Pool, batch []kafka.Message) error {
	ids, cents := make([]string, 0, len(batch)), make([]int, 0, len(batch))
	for _, m := range batch {
		var o order
		if err := json.Unmarshal(m.Value, &o); err != nil {
			return err
		}
		ids, cents = append(ids, o.ID), append(cents, o.Cents)
	}
	_, err := pool.Exec(ctx, `INSERT INTO `+w.table(charges(withoutInbox))+` SELECT * FROM unnest($1::uuid[], $2::integer[])`, ids, cents)
	return err
}
