package inboxkafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Config says what to consume and how. Brokers, Consumer and Topics are
// required.
type Config struct {
	// Brokers are the addresses, host:port, through which the cluster is found.
	Brokers []string

	// Consumer is the name under which the inbox remembers what was processed,
	// 1 to 255 bytes. Under another name everything is new again.
	Consumer string

	// Topics are what is consumed. They must exist when Run starts.
	Topics []string

	// GroupID is Kafka's name for the consumers that share the partitions.
	// Defaults to Consumer.
	GroupID string

	// Schema is Tandem's schema in the database. Defaults to "tandem".
	Schema string

	// MessageID returns the id to deduplicate a message by, for messages
	// without ce_id, or to deduplicate by a business key (a transaction's or a
	// notification's id). It sees the message as the handler will, its ID being
	// the ce_id (empty where there is none). It must give the same message the
	// same id every time. An error is treated like a missing id. Defaults to
	// the ce_id.
	MessageID func(m inbox.Message) (string, error)

	// Delivery is ExactlyOnce unless set to AtMostOnce.
	Delivery Delivery

	// Policies say what becomes of messages that cannot be handled as they
	// came. Each defaults to Park.
	Policies Policies

	// Hold says what waits behind a message that was set aside. Defaults to
	// HoldKey.
	Hold Hold

	// MaxAttempts is how often a message is tried before it is parked. Defaults
	// to 10, which with the default pauses takes about a minute.
	MaxAttempts int

	// BreakAfter is how many different messages of a partition may fail in a
	// row, none succeeding in between, until it is taken for the handler's or
	// its surroundings' fault and not the messages': then one message is tried
	// at a time, with pauses that grow to 5s, and none is parked for its
	// attempts, until a message succeeds. So an outage of what a handler calls
	// sets few messages aside, which go on by themselves when it is over.
	// Defaults to 20.
	BreakAfter int

	// BatchSize is the greatest number of messages in one transaction.
	// Defaults to 500.
	BatchSize int

	// BatchWait is how long to wait for a batch to fill up, once there is a
	// message. Defaults to 0: a batch is what is there.
	BatchWait time.Duration

	// FetchBytes bounds what one request to Kafka brings for a partition, and
	// with it the memory: about that much for each partition (with a BatchWait,
	// that much more for each request until the batch is full). A larger message
	// is taken all the same. Defaults to 1 MiB.
	FetchBytes int

	// RetryMin and RetryMax are the pauses after a message's first failure and
	// the longest one; they double in between, and vary by half so that
	// messages do not come back together. Default to 200ms and 30s.
	RetryMin, RetryMax time.Duration

	// LockTimeout is how long a statement of the batch's transaction waits for
	// a lock, before the batch is rolled back and repeated. Defaults to 5s.
	LockTimeout time.Duration

	// IdleTimeout is how long the batch's transaction may wait for its client:
	// the longest that a handler may take between two statements. It is also
	// the longest that a frozen consumer can hold up the one that took over its
	// partitions. Defaults to 30s.
	IdleTimeout time.Duration

	// SessionTimeout is how long after its last sign of life a consumer is
	// given up by the group, and its partitions go to others. Brokers allow 6s
	// to 30m unless configured. A rebalance waits for its members that long and
	// DrainTimeout more. Defaults to 10s.
	SessionTimeout time.Duration

	// DrainTimeout is how long the batch in work may go on when its partition
	// is taken away or Run's context ends; then the handler's context ends and
	// the batch is rolled back. Shorter than SessionTimeout. Defaults to 5s.
	DrainTimeout time.Duration

	// StartTimeout is how long Run waits for a database or broker that cannot
	// be reached when it starts. Defaults to 30s.
	StartTimeout time.Duration

	// SkipDeleted says what to do when the message at the group's offset is
	// gone: deleted by the topic's retention before it was consumed, or with a
	// topic that was deleted and made anew. False, the default, blocks the
	// partition and logs what is missing. True goes on at the first message
	// that there is, and logs the same.
	SkipDeleted bool

	// TLS, when set, is used for the connections to Kafka, and SASL to
	// authenticate them (see kafka-go's sasl packages).
	TLS  *tls.Config
	SASL sasl.Mechanism

	// Dial opens a connection to a broker. Defaults to a net.Dialer's
	// DialContext with a limit of 5s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Hooks observe the work, for metrics and traces.
	Hooks Hooks

	// Logger gets every change of state once, not every attempt. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

// Delivery says how often the effects of a message may happen.
type Delivery int

const (
	// ExactlyOnce records the message's id with its effects, and commits the
	// offset after.
	ExactlyOnce Delivery = iota
	// AtMostOnce commits the offset first, and records nothing: a message whose
	// handler fails, or that a crash meets, is lost. For metrics and the like,
	// where a loss is cheaper than a duplicate. Lost messages that the consumer
	// knows of are counted and logged.
	AtMostOnce
)

// withDefaults returns a copy with every field set.
func (c Config) withDefaults() Config {
	c.GroupID = cmp.Or(c.GroupID, c.Consumer)
	c.Schema = cmp.Or(c.Schema, schema.Default)
	c.BatchSize = cmp.Or(c.BatchSize, 500)
	c.FetchBytes = cmp.Or(c.FetchBytes, 1<<20)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 10)
	c.BreakAfter = cmp.Or(c.BreakAfter, 20)
	c.RetryMin = cmp.Or(c.RetryMin, 200*time.Millisecond)
	c.RetryMax = cmp.Or(c.RetryMax, 30*time.Second)
	c.LockTimeout = cmp.Or(c.LockTimeout, 5*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 30*time.Second)
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 10*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 5*time.Second)
	c.StartTimeout = cmp.Or(c.StartTimeout, 30*time.Second)
	if c.MessageID == nil {
		c.MessageID = func(m inbox.Message) (string, error) { return m.ID, nil }
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("consumer", c.Consumer)
	return c
}

// ConfigError is one thing that is wrong with a Config.
type ConfigError struct {
	Field   string // as in Config
	Problem string // what it is, and what it should be
}

func (e *ConfigError) Error() string { return "inboxkafka: Config." + e.Field + " " + e.Problem }

// check reports everything that is wrong, not only the first thing.
func (c Config) check() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	if len(c.Brokers) == 0 {
		bad("Brokers", "is empty: set the addresses of one or more brokers, host:port")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			bad("Brokers", "has %q: write host:port, such as localhost:9092", b)
		}
	}
	if problem := ids.Problem(ids.ConsumerMax, c.Consumer); problem != "" {
		bad("Consumer", "is no name: %s", problem)
	}
	if len(c.Topics) == 0 {
		bad("Topics", "is empty: set what to consume")
	}
	seen := map[string]bool{}
	for _, t := range c.Topics {
		if t == "" || seen[t] {
			bad("Topics", "has %q, which is empty or there twice", t)
		}
		seen[t] = true
	}
	if err := schema.Check(c.Schema); err != nil {
		bad("Schema", "is refused: %v", err)
	}
	if c.BatchSize < 1 || c.BatchSize > 50_000 {
		bad("BatchSize", "is %d, it must be from 1 to 50000", c.BatchSize)
	}
	if c.FetchBytes < 1 || c.FetchBytes > 1<<30 {
		bad("FetchBytes", "is %d, it must be from 1 to %d", c.FetchBytes, 1<<30)
	}
	if c.MaxAttempts < 1 {
		bad("MaxAttempts", "is %d, it must be 1 or more", c.MaxAttempts)
	}
	if c.BreakAfter < 1 {
		bad("BreakAfter", "is %d, it must be 1 or more", c.BreakAfter)
	}
	if c.Hold < HoldKey || c.Hold > HoldNothing {
		bad("Hold", "is %d, it must be HoldKey, HoldPartition or HoldNothing", c.Hold)
	}
	if c.Delivery < ExactlyOnce || c.Delivery > AtMostOnce {
		bad("Delivery", "is %d, it must be ExactlyOnce or AtMostOnce", c.Delivery)
	}
	c.Policies.check(bad)
	c.checkTimes(bad)
	return errors.Join(errs...)
}

func (c Config) checkTimes(bad func(field, format string, args ...any)) {
	if c.BatchWait < 0 {
		bad("BatchWait", "is %v, it must not be negative", c.BatchWait)
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"RetryMin", c.RetryMin}, {"LockTimeout", c.LockTimeout}, {"IdleTimeout", c.IdleTimeout},
		{"SessionTimeout", c.SessionTimeout}, {"DrainTimeout", c.DrainTimeout}, {"StartTimeout", c.StartTimeout},
	} {
		if f.value < time.Millisecond || f.value > 24*time.Hour {
			bad(f.name, "is %v, it must be from 1ms to 24h", f.value)
		}
	}
	if c.RetryMax < c.RetryMin {
		bad("RetryMax", "is %v, it must be no shorter than RetryMin, which is %v", c.RetryMax, c.RetryMin)
	}
	if c.DrainTimeout >= c.SessionTimeout {
		bad("DrainTimeout", "is %v, it must be shorter than SessionTimeout, which is %v: the group gives up a consumer that drains longer", c.DrainTimeout, c.SessionTimeout)
	}
}
