package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
)

// audit compares what was committed with what is in the ledger and in the topic.
func (b *bank) audit(ctx context.Context) error {
	published, err := b.published(ctx)
	if err != nil {
		return err
	}
	if _, err := b.servers.Pool.Exec(ctx, `CREATE TABLE published (seq bigint GENERATED ALWAYS AS IDENTITY, id text, partition int, account text)`); err != nil {
		return err
	}
	if _, err := b.servers.Pool.CopyFrom(ctx, pgx.Identifier{"published"}, []string{"id", "partition", "account"},
		pgx.CopyFromSlice(len(published), func(i int) ([]any, error) {
			m := published[i]
			return []any{header(m, "ce_id"), m.Partition, string(m.Key)}, nil
		})); err != nil {
		return err
	}
	fmt.Println()
	broken := false
	for _, question := range []struct{ what, query string }{
		{"bookings without an event", `SELECT count(*) FROM bookings WHERE id::text NOT IN (SELECT id FROM published)`},
		{"events of what was rolled back", `SELECT count(*) FROM published WHERE id NOT IN (SELECT id::text FROM bookings)`},
		{"accounts in two partitions", `SELECT count(*) FROM (SELECT FROM published GROUP BY account HAVING count(DISTINCT partition) > 1) AS a`},
		{"events out of order, repetitions left out", outOfOrder(`SELECT DISTINCT ON (p.id) p.seq, b.account, b.number FROM published p JOIN bookings b ON b.id::text = p.id ORDER BY p.id, p.seq`)},
		{"bookings that the ledger lacks", `SELECT count(*) FROM bookings WHERE id::text NOT IN (SELECT id FROM ledger)`},
		{"applied twice", `SELECT count(*) - count(DISTINCT id) FROM ledger`},
		{"applied out of order", outOfOrder(`SELECT * FROM ledger`)},
		{"accounts whose balance is not their ledger's", `SELECT count(*) FROM accounts a WHERE cents <> (SELECT coalesce(sum(cents), 0) FROM ledger WHERE account = a.id)`},
	} {
		n, err := b.servers.Count(ctx, question.query)
		if err != nil {
			return fmt.Errorf("%s: %w", question.what, err)
		}
		fmt.Printf("%-46s %d\n", question.what, n)
		broken = broken || n != 0
	}
	repeated, err := b.servers.Count(ctx, `SELECT count(*) - count(DISTINCT id) FROM published`)
	if err != nil {
		return err
	}
	fmt.Printf("%-46s %s\n", "events that are in the topic twice", map[bool]string{true: "some", false: "none"}[repeated > 0])
	if broken {
		return errors.New("a promise is broken")
	}
	return nil
}

// outOfOrder counts the rows that do not have the number after the one of their
// account before them.
func outOfOrder(rows string) string {
	return `SELECT count(*) FROM (SELECT number - lag(number, 1, 0) OVER (PARTITION BY account ORDER BY seq) AS step FROM (` + rows + `) AS r) AS s WHERE step <> 1`
}

// published is everything in the topic, partition by partition.
func (b *bank) published(ctx context.Context) ([]kafka.Message, error) {
	var all []kafka.Message
	for partition := range partitions {
		conn, err := kafka.DialLeader(ctx, "tcp", b.servers.Brokers[0], b.topic, partition)
		if err != nil {
			return nil, err
		}
		end, err := conn.ReadLastOffset()
		if err = errors.Join(err, conn.Close()); err != nil {
			return nil, err
		}
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: b.servers.Brokers, Topic: b.topic, Partition: partition, MaxWait: 100 * time.Millisecond})
		defer reader.Close()
		for offset := int64(0); offset < end; {
			m, err := reader.ReadMessage(ctx)
			if err != nil {
				return nil, err
			}
			all, offset = append(all, m), m.Offset+1
		}
	}
	return all, nil
}

func header(m kafka.Message, name string) string {
	for _, h := range m.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
