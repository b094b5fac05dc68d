package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
)

// onePoller is the advisory lock that keeps pollers from publishing side by side,
// which would not keep a key's order.
const onePoller = 20170

const pollerBatch = 50

// poll is the old way. What it has published and could not delete it publishes again.
func poll(ctx context.Context, database string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is the word to stop
		cancel()
	}()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		return err
	}
	config.Database = os.Getenv(databaseVariable)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, onePoller); err != nil {
		return err
	}
	writer := &kafka.Writer{
		Addr:         kafka.TCP(strings.Split(os.Getenv(brokersVariable), ",")...),
		Balancer:     kafka.Murmur2Balancer{}, // the relay's choice of a partition
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Millisecond,
	}
	defer writer.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := publish(context.WithoutCancel(ctx), conn, writer); err != nil { // a batch that has begun is ended
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// publish publishes the oldest rows and deletes them, in one transaction.
func publish(ctx context.Context, conn *pgx.Conn, writer *kafka.Writer) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT seq, id::text, topic, key, type, payload FROM outbox ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED`, pollerBatch)
		if err != nil {
			return err
		}
		defer rows.Close()
		var seqs []int64
		var messages []kafka.Message
		for rows.Next() {
			var (
				seq                  int64
				id, topic, key, kind string
				payload              []byte
			)
			if err := rows.Scan(&seq, &id, &topic, &key, &kind, &payload); err != nil {
				return err
			}
			seqs = append(seqs, seq)
			messages = append(messages, kafka.Message{Topic: topic, Key: []byte(key), Value: payload, Headers: headers(id, kind)})
		}
		if err := rows.Err(); err != nil || len(seqs) == 0 {
			return err
		}
		if err := writer.WriteMessages(ctx, messages...); err != nil {
			return fmt.Errorf("publish %d events: %w", len(messages), err)
		}
		if os.Getenv(crashVariable) != "" {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		_, err = tx.Exec(ctx, `DELETE FROM outbox WHERE seq = ANY ($1)`, seqs)
		return err
	})
}

// headers are those of the relay. Receivers deduplicate by ce_id, the row's id, so
// they do not notice who published.
func headers(id, kind string) []kafka.Header {
	return []kafka.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(id)},
		{Key: "ce_source", Value: []byte(source)},
		{Key: "ce_type", Value: []byte(kind)},
		{Key: "content-type", Value: []byte("application/json")},
	}
}
