package inboxkafka

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// Handler makes the effects of one message, all of them in tx, which holds a
// whole batch and is committed or rolled back by the consumer. It is called for
// messages that are new, in order within a partition, and by as many goroutines
// as there are partitions. When it returns an error, the message and its batch
// are repeated; ctx ends when the partition has to be given up.
type Handler = func(ctx context.Context, tx pgx.Tx, m inbox.Message) error

// Consumer consumes topics. Make one with NewConsumer.
type Consumer struct {
	config Config
	pool   *pgxpool.Pool
	apply  *apply.Applier
}

// NewConsumer checks the configuration and connects to nothing yet. The error
// holds a [*ConfigError] for everything that is wrong. The pool stays the
// caller's, to close after Run has returned.
func NewConsumer(config Config, pool *pgxpool.Pool, handler Handler) (*Consumer, error) {
	config = config.withDefaults()
	err := config.check()
	if pool == nil {
		err = errors.Join(err, errors.New("inboxkafka: the pool is nil: make one with pgxpool.New"))
	}
	if handler == nil {
		err = errors.Join(err, errors.New("inboxkafka: the handler is nil"))
	}
	if err != nil {
		return nil, err
	}
	return &Consumer{config: config, pool: pool, apply: apply.New(apply.Config{
		Pool:        pool,
		Schema:      config.Schema,
		Consumer:    config.Consumer,
		Handler:     handler,
		LockTimeout: config.LockTimeout,
		IdleTimeout: config.IdleTimeout,
	})}, nil
}

// Run consumes until ctx ends; then it finishes the batches in work, commits
// their offsets, leaves the group and returns nil. It waits for everything it
// has started, a handler that ignores its context included.
//
// It returns a [*StartError] when what it needs is not there: at once where
// something is wrong (a password, the schema's version, a topic that does not
// exist), after Config.StartTimeout where it cannot be reached. Once it consumes
// it survives restarts of Postgres and Kafka by itself; the one other error is
// a handler that ended the batch's transaction by itself.
func (c *Consumer) Run(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
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
	return c.consume(ctx, conns)
}
