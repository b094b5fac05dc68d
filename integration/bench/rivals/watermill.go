package rivals

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"golang.org/x/sync/errgroup"
)

// shards is how many tables the tuned Watermill spreads keys over, because a
// subscriber hands on one message of a table at a time.
const shards = 32

// watermillDocumented is watermill-sql v3's forwarder to watermill-kafka as their
// documentation sets it up: one table, every default, but acks=all.
var watermillDocumented = watermillSystem("Watermill", 1)

// watermillTuned has 32 tables by the hash of the key, each with a forwarder, batches
// of 1,000, and polls every millisecond. For latency it has one table: the
// transactions of several subscribers hide events from each other.
var watermillTuned = watermillSystem("Watermill tuned", shards)

func watermillSystem(name string, tables int) System {
	w := forwarding{tables: tables, tuned: tables > 1}
	return System{Name: name, Setup: w.setup, Write: w.write, child: w.run}
}

// forwarding is Watermill's outbox.
type forwarding struct {
	tables int
	tuned  bool
}

func (w forwarding) shardsAt(site Site) int {
	if site.steady() {
		return 1
	}
	return w.tables
}

func (w forwarding) schema() sql.DefaultPostgreSQLSchema {
	if w.tuned {
		return sql.DefaultPostgreSQLSchema{SubscribeBatchSize: pollBatch}
	}
	return sql.DefaultPostgreSQLSchema{}
}

func shardTopic(n int) string { return fmt.Sprintf("outbox_%d", n) }

func (w forwarding) setup(ctx context.Context, conn *pgx.Conn, _ Site) error {
	for n := range w.tables {
		queries := append(w.schema().SchemaInitializingQueries(shardTopic(n)),
			sql.DefaultPostgreSQLOffsetsAdapter{}.SchemaInitializingQueries(shardTopic(n))...)
		for _, q := range queries {
			if _, err := conn.Exec(ctx, q.Query); err != nil {
				return err
			}
		}
	}
	return nil
}

// write adds messages by Watermill's own publishers, within the transaction.
func (w forwarding) write(ctx context.Context, tx pgx.Tx, site Site, events []Event) error {
	publisher, err := sql.NewPublisher(executor{tx}, sql.PublisherConfig{SchemaAdapter: w.schema()}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	byShard := make([][]*message.Message, w.shardsAt(site))
	for _, e := range events {
		m := message.NewMessage(e.ID, e.Payload)
		m.Metadata = message.Metadata{
			"key": e.Key, "ce_specversion": "1.0", "ce_source": source, "ce_type": eventType, "ce_time": e.At.UTC().Format(time.RFC3339Nano),
		}
		shard := hash(e.Key) % uint32(len(byShard))
		byShard[shard] = append(byShard[shard], m)
	}
	for n, messages := range byShard {
		if len(messages) == 0 {
			continue
		}
		outbox := forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: shardTopic(n)})
		if err := outbox.Publish(site.Topic, messages...); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// run forwards until it is told to stop.
func (w forwarding) run(ctx context.Context, site Site) error {
	db, err := stdsql.Open("pgx", site.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxIdleConns(2 * w.tables)
	publisher, err := w.kafka(site)
	if err != nil {
		return err
	}
	defer publisher.Close()
	subscription := sql.SubscriberConfig{SchemaAdapter: w.schema(), OffsetsAdapter: sql.DefaultPostgreSQLOffsetsAdapter{}, InitializeSchema: true}
	if w.tuned {
		subscription.PollInterval = time.Millisecond
	}
	var all errgroup.Group
	for n := range w.shardsAt(site) {
		subscriber, err := sql.NewSubscriber(db, subscription, watermill.NopLogger{})
		if err != nil {
			return err
		}
		f, err := forwarder.NewForwarder(subscriber, publisher, watermill.NopLogger{}, forwarder.Config{ForwarderTopic: shardTopic(n)})
		if err != nil {
			return err
		}
		all.Go(func() error { return f.Run(ctx) })
	}
	return all.Wait()
}

func (w forwarding) kafka(site Site) (*kafka.Publisher, error) {
	config := kafka.DefaultSaramaSyncPublisherConfig()
	config.Version = sarama.V2_1_0_0 // the oldest that Kafka 4 speaks
	config.Producer.RequiredAcks = sarama.WaitForAll
	return kafka.NewPublisher(kafka.PublisherConfig{
		Brokers:               site.Brokers,
		OverwriteSaramaConfig: config,
		Marshaler: kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
			return m.Metadata.Get("key"), nil
		}),
	}, watermill.NopLogger{})
}

// executor lends a transaction of pgx to Watermill's publisher, which executes
// and does not ask.
type executor struct{ pgx.Tx }

var errNoQueries = errors.New("only statements without rows")

func (e executor) ExecContext(ctx context.Context, query string, args ...any) (stdsql.Result, error) {
	tag, err := e.Tx.Exec(ctx, query, args...)
	return affected(tag.RowsAffected()), err
}

func (e executor) Exec(query string, args ...any) (stdsql.Result, error) {
	return e.ExecContext(context.Background(), query, args...)
}

func (executor) Query(string, ...any) (*stdsql.Rows, error) { return nil, errNoQueries }
func (executor) QueryRow(string, ...any) *stdsql.Row        { return nil }
func (executor) QueryContext(context.Context, string, ...any) (*stdsql.Rows, error) {
	return nil, errNoQueries
}
func (executor) QueryRowContext(context.Context, string, ...any) *stdsql.Row { return nil }

type affected int64

func (affected) LastInsertId() (int64, error)   { return 0, errors.New("PostgreSQL has none") }
func (a affected) RowsAffected() (int64, error) { return int64(a), nil }
