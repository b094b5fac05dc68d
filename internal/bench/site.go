package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/internal/kafkalinks"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// Servers are what is measured on.
type Servers struct {
	// Database is how to connect to a database of the server, only to make
	// another one there. Its login needs CREATEDB.
	Database *pgx.ConnConfig
	// BeforeConnect is called before each connection is opened, with a copy of
	// its configuration that it may change. Optional.
	BeforeConnect func(context.Context, *pgx.ConnConfig) error
	// Kafka has brokers, TLS and SASL. Without brokers Write can be measured
	// alone.
	Kafka relaykafka.Config
	// Logger gets the relay's and the consumers' warnings. Defaults to none.
	Logger *slog.Logger
	// Progress is told how far everything is. Optional.
	Progress Progress
}

// Site is a database and topics of a benchmark's own on servers that are not. It
// is not for concurrent use.
type Site struct {
	servers  Servers
	name     string
	database *pgx.ConnConfig
	progress Progress
	log      *slog.Logger

	links  *kafkalinks.Dialer
	client *kafka.Client
	topics []string
	serial int // of the last topic
	groups []string
	made   bool           // the database
	pids   map[string]int // of the servers, as far as they are on this machine
}

// closeTimeout bounds Close.
const closeTimeout = 60 * time.Second

// Open looks whether both servers can be reached, and then makes the database,
// with Tandem's schema. What it has made it removes again where it fails.
func Open(ctx context.Context, servers Servers) (*Site, error) {
	s := &Site{
		servers: servers, name: "tandem_bench_" + strings.ToLower(rand.Text()[:8]),
		database: servers.Database.Copy(), progress: servers.Progress, log: servers.Logger,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.database.Database = s.name
	s.connectKafka()
	err := s.checkKafka(ctx)
	if err == nil {
		err = s.createDatabase(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	s.pids = s.findServers(ctx)
	return s, nil
}

// Name is the database's.
func (s *Site) Name() string { return s.name }

// Topics are those that there are now.
func (s *Site) Topics() []string { return s.topics }

// Close removes the database and the topics, also when ctx has ended, within a
// minute. The error says what has stayed.
func (s *Site) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(s.removeTopics(ctx), s.dropDatabase(ctx), s.Leave())
}

// Leave ends the connections and lets everything stay.
func (s *Site) Leave() error {
	s.client.Transport.(*kafka.Transport).CloseIdleConnections()
	return s.links.Close(linksTimeout)
}

// hasKafka tells whether brokers were given.
func (s *Site) hasKafka() bool { return len(s.servers.Kafka.Brokers) > 0 }

func (s *Site) newTLS() (*tls.Config, error) {
	if s.servers.Kafka.NewTLS != nil {
		return s.servers.Kafka.NewTLS()
	}
	return s.servers.Kafka.TLS, nil
}
