package bench

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

const effectsTable = `CREATE TABLE public.effects (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event integer NOT NULL, customer text NOT NULL)`

// effect writes that of one message.
func effect(ctx context.Context, tx pgx.Tx, key, value []byte) error {
	n, err := Number(value)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO public.effects (event, customer) VALUES ($1, $2)`, n, string(key))
	return err
}

// effects writes those of a batch, in one statement.
func effects(ctx context.Context, tx pgx.Tx, count int, message func(i int) (key, value []byte)) error {
	events, customers := make([]int, count), make([]string, count)
	for i := range count {
		key, value := message(i)
		n, err := Number(value)
		if err != nil {
			return err
		}
		events[i], customers[i] = n, string(key)
	}
	_, err := tx.Exec(ctx, `INSERT INTO public.effects (event, customer) SELECT unnest($1::integer[]), unnest($2::text[])`, events, customers)
	return err
}

// withInbox is a consumer with the defaults, but for the batch's size.
func (c *consuming) withInbox(ctx context.Context, group string, done func(int)) error {
	config := inboxkafka.Config{
		Brokers: c.servers.Kafka.Brokers, SASL: c.servers.Kafka.SASL, Dial: c.links.Dial,
		Consumer: group, Topics: []string{c.topic}, BatchSize: c.batch, Logger: c.log,
		Hooks: inboxkafka.Hooks{Committed: func(b inboxkafka.Batch) { done(b.Handled + b.Parked) }},
	}
	consumer, err := c.newConsumer(config)
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}

func (c *consuming) newConsumer(config inboxkafka.Config) (*inboxkafka.Consumer, error) {
	if c.each {
		return inboxkafka.NewConsumer(config, c.pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			return effect(ctx, tx, m.Key, m.Value)
		})
	}
	return inboxkafka.NewBatchConsumer(config, c.pool, func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
		return effects(ctx, tx, len(batch), func(i int) (key, value []byte) { return batch[i].Key, batch[i].Value })
	})
}

// plainly does the same without an inbox: what is delivered twice has its effects
// twice.
func (c *consuming) plainly(ctx context.Context, group string, done func(int)) error {
	all, ctx := errgroup.WithContext(ctx)
	for partition := range c.Partitions {
		all.Go(func() error {
			offsets := make(chan int64, 1)
			all.Go(func() error { return c.commitOffsets(ctx, group, partition, offsets) })
			defer close(offsets)
			for next := int64(0); ctx.Err() == nil; {
				records, err := c.fetch(ctx, c.topic, partition, next)
				if err != nil && ctx.Err() == nil {
					return err
				}
				for len(records) > 0 && ctx.Err() == nil {
					batch := records[:min(c.batch, len(records))]
					if err := c.plainBatch(ctx, batch); err != nil {
						return err
					}
					records = records[len(batch):]
					next = batch[len(batch)-1].offset + 1
					latest(offsets, next)
					done(len(batch))
				}
			}
			return nil
		})
	}
	return all.Wait()
}

func (c *consuming) plainBatch(ctx context.Context, batch []record) error {
	// The batch in work is finished, as the other consumer does.
	ctx = context.WithoutCancel(ctx)
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		if !c.each {
			return effects(ctx, tx, len(batch), func(i int) (key, value []byte) { return batch[i].key, batch[i].value })
		}
		for _, r := range batch {
			if err := effect(ctx, tx, r.key, r.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// latest replaces what has not been taken yet. One goroutine calls it.
func latest(offsets chan int64, offset int64) {
	select {
	case <-offsets:
	default:
	}
	offsets <- offset
}

// commitOffsets commits beside the work, as the consumer with an inbox does; the
// last one too.
func (c *consuming) commitOffsets(ctx context.Context, group string, partition int, offsets <-chan int64) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for offset := range offsets {
		err := repeatWithin(ctx, 30*time.Second, func(ctx context.Context) error {
			res, err := c.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
				GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{c.topic: {{Partition: partition, Offset: offset}}},
			})
			if err != nil {
				return err
			}
			for _, p := range res.Topics[c.topic] {
				if p.Error != nil {
					return p.Error
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func repeatWithin(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return repeat(ctx, func() error { return try(ctx) })
}

// auditEffects wants one effect of each event.
func auditEffects(ctx context.Context, pool *pgxpool.Pool, events int) (Audit, error) {
	a := Audit{Expected: events}
	var there, distinct int
	err := pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE event BETWEEN 0 AND $1 - 1), count(DISTINCT event) FILTER (WHERE event BETWEEN 0 AND $1 - 1),
		count(*) FILTER (WHERE event NOT BETWEEN 0 AND $1 - 1) FROM public.effects`, events).Scan(&there, &distinct, &a.Strange)
	a.Lost, a.Duplicated = events-distinct, there-distinct
	return a, err
}
