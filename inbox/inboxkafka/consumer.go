package inboxkafka

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// Consumer consumes topics. Make one with NewConsumer, NewBatchConsumer or
// NewSQLConsumer.
type Consumer struct {
	config   Config
	database apply.Database
	apply    *apply.Applier
	stats    *stats
}

// NewConsumer checks the configuration and connects to nothing yet. The error
// holds a [*ConfigError] for everything that is wrong. The pool stays the
// caller's, to close after Run has returned.
//
// The handler is called by as many goroutines as there are partitions, in order
// within one; tx holds a whole batch and is committed or rolled back by the
// consumer; ctx ends when the partition has to be given up.
func NewConsumer(config Config, pool *pgxpool.Pool, handler inbox.Handler) (*Consumer, error) {
	return newConsumer(config, database(pool), handler == nil, true, func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
		return handler(ctx, s.Tx, m[0])
	})
}

// NewBatchConsumer is [NewConsumer] for a handler that takes the new messages of
// a transaction at once, for effects that are written as sets.
func NewBatchConsumer(config Config, pool *pgxpool.Pool, handler inbox.BatchHandler) (*Consumer, error) {
	return newConsumer(config, database(pool), handler == nil, false, func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
		return handler(ctx, s.Tx, m)
	})
}

// NewSQLConsumer is [NewConsumer] for database/sql. The handle must have been
// opened with pgx's driver (github.com/jackc/pgx/v5/stdlib).
func NewSQLConsumer(config Config, db *sql.DB, handler inboxsql.Handler) (*Consumer, error) {
	var d apply.Database
	if db != nil {
		d = apply.SQL(db)
	}
	return newConsumer(config, d, handler == nil, true, func(ctx context.Context, s *apply.Session, m []inbox.Message) error {
		return handler(ctx, s.SQL, m[0])
	})
}

func database(pool *pgxpool.Pool) apply.Database {
	if pool == nil {
		return nil
	}
	return apply.Pool(pool)
}

func newConsumer(config Config, database apply.Database, noHandler, each bool, handler apply.Handler) (*Consumer, error) {
	config = config.withDefaults()
	err := config.check()
	if database == nil {
		err = errors.Join(err, errors.New("inboxkafka: the database is nil: make a pool with pgxpool.New"))
	}
	if noHandler {
		err = errors.Join(err, errors.New("inboxkafka: the handler is nil"))
	}
	if err != nil {
		return nil, err
	}
	c := &Consumer{config: config, database: database, stats: newStats(config.Topics)}
	c.apply = apply.New(apply.Config{
		Database:    database,
		Schema:      config.Schema,
		Consumer:    config.Consumer,
		Handler:     c.observed(handler, each),
		Each:        each,
		Unrecorded:  config.Delivery == AtMostOnce,
		LockTimeout: config.LockTimeout,
		IdleTimeout: config.IdleTimeout,
	})
	return c, nil
}

// Run consumes until ctx ends; then it finishes the batches in work, commits
// their offsets, leaves the group and returns nil. It waits for everything it
// has started, a handler that ignores its context included.
//
// It returns a [*StartError] when what it needs is not there: at once where
// something is wrong (a password, the schema's version, a topic that does not
// exist), after Config.StartTimeout where it cannot be reached. Once it consumes
// it survives restarts of Postgres and Kafka by itself; what ends it then is a
// [*StoppedError], and a handler that ended the batch's transaction by itself.
func (c *Consumer) Run(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	c.stats.stand(isStarting, nil)
	defer c.stats.stand(doesNotRun, nil)
	conns := &connections{dial: c.config.Dial}
	defer conns.close()
	if err := c.start(ctx, conns); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var upkeep sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer upkeep.Wait()
	defer cancel()
	upkeep.Go(func() { c.maintain(ctx) })
	upkeep.Go(func() { c.beat(ctx) })
	return c.consume(ctx, conns)
}
