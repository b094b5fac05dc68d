package stories_test

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

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/internal/kafkaproxy"
)

// childVariable holds what a consumer's process is to do: this test binary.
const childVariable = "TANDEM_TEST_STORY"

// childOrder is what such a process is to do.
type childOrder struct {
	Database string // through a proxy
	Kafka    string // a proxy's address
	Brokers  []string
	Consumer string
	Topic    string
	Handler  string // of handlers
	AddTo    string // the topic of the events that the handler adds
	Mail     string // a mail server's address
}

// handlers are the consumers of the stories.
var handlers = map[string]func(childOrder) inbox.Handler{
	"charge": charge, "mail by outbox": mailByOutbox, "mail in handler": mailInHandler, "mail after offset": mailInHandler,
}

func runChild(text string) error {
	var o childOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	pool, err := pgxpool.New(ctx, o.Database)
	if err != nil {
		return err
	}
	defer pool.Close()
	config := o.config()
	consumer, err := inboxkafka.NewConsumer(config, pool, handlers[o.Handler](o))
	if err != nil {
		return err
	}
	if err := consumer.Run(ctx); err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	return nil
}

// config has pauses that tests can wait for, and the shortest session that brokers
// allow by default.
func (o childOrder) config() inboxkafka.Config {
	c := inboxkafka.Config{
		Brokers: o.Brokers, Consumer: o.Consumer, Topics: []string{o.Topic},
		BatchSize: 8, MaxAttempts: 3, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond,
		LockTimeout: 200 * time.Millisecond, IdleTimeout: 2 * time.Second,
		SessionTimeout: 6 * time.Second, DrainTimeout: 2 * time.Second, StartTimeout: time.Minute,
		Dial:   kafkaproxy.Dial(o.Kafka),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if o.Handler == "mail after offset" {
		c.Delivery = inboxkafka.AtMostOnce
	}
	return c
}
