package relaykafka

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
)

// Config says which brokers to send to and how. Brokers and Source are required.
type Config struct {
	// Brokers are some of the cluster's brokers as host:port, enough that one
	// of them answers; the others are found through it. The port defaults to
	// 9092.
	Brokers []string

	// Source is the ce_source of every event: a URI reference that names this
	// log among others. The daemon sets /tandem/<database>.
	Source string

	// ClientID is what the brokers' logs and quotas know this client as.
	// Defaults to "tandem".
	ClientID string

	// ProduceTimeout bounds one Publish, with connecting and waiting for the
	// answer. The broker is told half of it as its limit for the replicas, so
	// that its answer still arrives. At least 100ms. Defaults to 10s.
	ProduceTimeout time.Duration

	// BatchBytes is what the relay's Config.BatchBytes is: Check refuses what is
	// larger than the brokers' message.max.bytes, where it may ask for that.
	// Defaults to 0, which means that nothing is compared.
	BatchBytes int

	// MetadataTTL is for how long Partitions answers from memory; a change of
	// leader is noticed at once whatever it is. Defaults to 5s.
	MetadataTTL time.Duration

	// TLS encrypts the connections. ServerName defaults to the broker's host.
	// Defaults to nil, which means no encryption.
	TLS *tls.Config

	// NewTLS is asked instead of TLS for each new connection, so that
	// certificates that were renewed are used without a restart. Its error
	// fails that connection. Optional.
	NewTLS func() (*tls.Config, error)

	// SASL authenticates the connections, with a mechanism of kafka-go's
	// packages sasl/plain or sasl/scram. Defaults to nil, which means none.
	SASL sasl.Mechanism

	// Logger gets changes of a topic's partition count. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

const (
	defaultProduceTimeout = 10 * time.Second
	leastProduceTimeout   = 100 * time.Millisecond
	defaultMetadataTTL    = 5 * time.Second
)

// withDefaults returns a copy with every optional field set.
func (c Config) withDefaults() Config {
	c.Brokers = slices.Clone(c.Brokers)
	for i, broker := range c.Brokers {
		c.Brokers[i] = strings.TrimSpace(broker)
	}
	c.ClientID = cmp.Or(c.ClientID, "tandem")
	c.ProduceTimeout = cmp.Or(c.ProduceTimeout, defaultProduceTimeout)
	c.MetadataTTL = cmp.Or(c.MetadataTTL, defaultMetadataTTL)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// newTLS returns a configuration of TLS, or nil where nothing is encrypted.
func (c Config) newTLS() (*tls.Config, error) {
	if c.NewTLS != nil {
		return c.NewTLS()
	}
	return c.TLS, nil
}

// encrypts tells whether the connections use TLS.
func (c Config) encrypts() bool { return c.TLS != nil || c.NewTLS != nil }

// check reports everything that is wrong, not only the first thing.
func (c Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("relaykafka: "+format, args...)) }
	if len(c.Brokers) == 0 {
		bad(`Config.Brokers is empty: name at least one broker, for example "localhost:9092"`)
	}
	for i, broker := range c.Brokers {
		if problem := brokerProblem(broker); problem != "" {
			bad(`Config.Brokers[%d] is %q: %s; write host:port, for example "localhost:9092"`, i, broker, problem)
		}
	}
	if c.Source == "" {
		bad(`Config.Source is empty: set what names this log among others, for example "/tandem/shop"`)
	}
	if c.ProduceTimeout < leastProduceTimeout {
		bad("Config.ProduceTimeout is %v, it must be at least %v", c.ProduceTimeout, leastProduceTimeout)
	}
	if c.TLS != nil && c.NewTLS != nil {
		bad("Config.TLS and Config.NewTLS are both set: leave one of them nil")
	}
	if c.MetadataTTL < 0 {
		bad("Config.MetadataTTL is %v, it must be positive", c.MetadataTTL)
	}
	if len(c.ClientID) > maxShortString {
		bad("Config.ClientID has %d bytes, Kafka allows %d", len(c.ClientID), maxShortString)
	}
	return errors.Join(errs...)
}

// maxShortString is how long a string of Kafka's protocol may be, in bytes.
const maxShortString = 1<<15 - 1

func brokerProblem(broker string) string {
	switch {
	case broker == "":
		return "it is empty"
	case strings.Contains(broker, "://"):
		return "it is a URL"
	case strings.Contains(broker, ","):
		return "it holds several"
	case !strings.Contains(broker, ":"):
		return ""
	}
	host, port, err := net.SplitHostPort(broker)
	if err != nil {
		return "it is no address"
	}
	if host == "" {
		return "it has no host"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "its port is no number from 1 to 65535"
	}
	return ""
}
