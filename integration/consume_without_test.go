package integration_test

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// consumeWithout does what a service does that does not care for duplicates: a
// goroutine for each partition handles batches in transactions of their own, and
// a batch's offset is committed after its transaction, beside the work. It fetches
// with franz-go, the fastest client there is.
func consumeWithout(ctx context.Context, b *testing.B, topic string, pool *pgxpool.Pool, handle inbox.BatchHandler, committed func(messages int)) error {
	b.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(testservers.Kafka(b)...), kgo.ConsumeTopics(topic), kgo.ConsumerGroup(topic+"-without"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitMarks(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer client.Close()
	var workers sync.WaitGroup
	defer workers.Wait()
	polling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	partitions := map[int32]chan []*kgo.Record{}
	for {
		fetches := client.PollFetches(polling)
		if ctx.Err() != nil {
			return nil
		}
		if polling.Err() != nil {
			return context.Cause(polling)
		}
		fetches.EachPartition(func(t kgo.FetchTopicPartition) {
			records, there := partitions[t.Partition]
			if !there {
				records = make(chan []*kgo.Record, 1)
				partitions[t.Partition] = records
				workers.Go(func() {
					if err := handleRecords(polling, client, pool, records, handle, committed); err != nil {
						cancel(err)
					}
				})
			}
			select {
			case records <- t.Records:
			case <-polling.Done():
			}
		})
	}
}

func handleRecords(ctx context.Context, client *kgo.Client, pool *pgxpool.Pool, fetched <-chan []*kgo.Record, handle inbox.BatchHandler, committed func(int)) error {
	for {
		var records []*kgo.Record
		select {
		case <-ctx.Done():
			return nil
		case records = <-fetched:
		}
		for len(records) > 0 {
			batch := records[:min(len(records), consumeBatch)]
			records = records[len(batch):]
			messages := make([]inbox.Message, len(batch))
			for i, r := range batch {
				messages[i] = plainMessage(r)
			}
			if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return handle(ctx, tx, messages) }); err != nil {
				return err
			}
			client.MarkCommitRecords(batch[len(batch)-1])
			committed(len(batch))
		}
	}
}

func plainMessage(r *kgo.Record) inbox.Message {
	m := inbox.Message{Topic: r.Topic, Partition: int(r.Partition), Offset: r.Offset, Key: r.Key, Value: r.Value, Sent: r.Timestamp, Headers: make([]inbox.Header, len(r.Headers))}
	for i, h := range r.Headers {
		m.Headers[i] = inbox.Header{Name: h.Key, Value: h.Value}
	}
	return m
}
