package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tandem-outbox/tandem/internal/localpg"
	"github.com/tandem-outbox/tandem/migrations"
)

// What a killed consumer costs depends on the broker: Kafka keeps its place for
// 6s at least, the fake broker is told less.
const (
	fakeSession = time.Second
	realSession = 6 * time.Second
)

// cleanups are run last first, on a context of their own: Ctrl-C must not keep
// things from being put away.
type cleanups struct{ all []func(context.Context) error }

func (c *cleanups) add(f func(context.Context) error) { c.all = append(c.all, f) }

func (c *cleanups) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	for i := len(c.all) - 1; i >= 0; i-- {
		errs = append(errs, c.all[i](ctx))
	}
	c.all = nil
	return errors.Join(errs...)
}

// build makes the world: servers where none are given, schemas and topic.
func build(ctx context.Context, o options, clean *cleanups) (*world, *pgxpool.Pool, error) {
	// On a server of the user's own another demo may be running.
	name := "tandem_demo_" + strings.ToLower(rand.Text()[:6])
	w := &world{Database: o.database, Brokers: o.brokers, Tandem: name, Shop: name + "_shop", Topic: strings.ReplaceAll(name, "_", "-"), Session: realSession}
	if w.Database == "" {
		server, err := localpg.Start(ctx, localpg.Options{})
		if err != nil {
			return nil, nil, fmt.Errorf("start PostgreSQL: %w (or give one with --database-url)", err)
		}
		clean.add(func(context.Context) error { return server.Stop() })
		w.Database = server.URL("postgres")
	}
	if len(w.Brokers) == 0 {
		w.Session = fakeSession
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(fakeSession))
		if err != nil {
			return nil, nil, fmt.Errorf("start the fake broker: %w", err)
		}
		clean.add(func(context.Context) error { cluster.Close(); return nil })
		w.Brokers = cluster.ListenAddrs()
	}
	pool, err := openPool(ctx, w.Database, writers+2)
	if err != nil {
		return nil, nil, err
	}
	clean.add(func(context.Context) error { pool.Close(); return nil })
	if err := makeSchemas(ctx, w, pool, clean); err != nil {
		return nil, nil, err
	}
	return w, pool, makeTopic(ctx, w, clean)
}

// openPool does not repeat the URL in its error.
func openPool(ctx context.Context, url string, size int) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("--database-url cannot be read; for example postgres://me:secret@localhost:5432/test")
	}
	config.MaxConns = int32(size)
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	return pgxpool.NewWithConfig(ctx, config)
}

func makeSchemas(ctx context.Context, w *world, pool *pgxpool.Pool, clean *cleanups) error {
	clean.add(func(ctx context.Context) error {
		for _, schema := range []string{w.Shop, w.Tandem} {
			if _, err := pool.Exec(ctx, `DROP SCHEMA IF EXISTS `+pgx.Identifier{schema}.Sanitize()+` CASCADE`); err != nil {
				return fmt.Errorf("drop schema %s: %w", schema, err)
			}
		}
		return nil
	})
	m, err := migrations.Open(pool.Config().ConnConfig.Copy(), w.Tandem)
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := pool.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{w.Shop}.Sanitize()); err != nil {
		return fmt.Errorf("create schema %s: %w", w.Shop, err)
	}
	return nil
}

// makeTopic returns when the topic can be written to and read.
func makeTopic(ctx context.Context, w *world, clean *cleanups) error {
	client, closeClient := newClient(w)
	defer closeClient()
	clean.add(func(ctx context.Context) error { return removeTopic(ctx, w) })
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: w.Topic, NumPartitions: partitions, ReplicationFactor: -1}},
	})
	if err == nil {
		err = res.Errors[w.Topic]
	}
	if err != nil {
		return fmt.Errorf("create topic %s at %s: %w", w.Topic, strings.Join(w.Brokers, ","), err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("not all of its partitions had a leader after 30s"))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := published(ctx, client, w); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("create topic %s: %w", w.Topic, context.Cause(ctx))
		}
	}
}

func removeTopic(ctx context.Context, w *world) error {
	client, closeClient := newClient(w)
	defer closeClient()
	// A group goes when it is empty, a moment after its members; one that stays
	// is removed by the broker itself in time.
	for _, who := range []string{withInbox, withoutInbox} {
		_, _ = client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{w.group(who)}})
	}
	res, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{w.Topic}})
	if err == nil {
		err = res.Errors[w.Topic]
	}
	if err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
		return fmt.Errorf("delete topic %s: %w", w.Topic, err)
	}
	return nil
}

func newClient(w *world) (*kafka.Client, func()) {
	transport := &kafka.Transport{MetadataTTL: time.Second}
	return &kafka.Client{Addr: kafka.TCP(w.Brokers...), Timeout: 10 * time.Second, Transport: transport}, transport.CloseIdleConnections
}

// published counts the records in the topic, by its partitions' last offsets.
func published(ctx context.Context, client *kafka.Client, w *world) (int64, error) {
	asked := make([]kafka.OffsetRequest, partitions)
	for i := range asked {
		asked[i] = kafka.LastOffsetOf(i)
	}
	res, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{w.Topic: asked}})
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, p := range res.Topics[w.Topic] {
		if p.Error != nil {
			return 0, p.Error
		}
		sum += p.LastOffset
	}
	if len(res.Topics[w.Topic]) != partitions {
		return 0, kafka.LeaderNotAvailable
	}
	return sum, nil
}
