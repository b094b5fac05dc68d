package inboxkafka_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestConfigErrorsNameEveryFieldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers: []string{"localhost"}, Consumer: strings.Repeat("c", 256), Topics: []string{"a", "a"}, Schema: "No",
		BatchSize: -1, BatchWait: -1, FetchBytes: -1, RetryMin: time.Hour, RetryMax: time.Minute, LockTimeout: -1,
		IdleTimeout: time.Microsecond, SessionTimeout: time.Second, DrainTimeout: time.Minute, StartTimeout: -1,
	}, nil, nil)
	var fields []string
	for _, err := range flatten(err) {
		var c *inboxkafka.ConfigError
		if errors.As(err, &c) {
			fields = append(fields, c.Field)
		}
	}
	require.ElementsMatch(t, []string{"Brokers", "Consumer", "Topics", "Schema", "BatchSize", "BatchWait", "FetchBytes",
		"LockTimeout", "IdleTimeout", "StartTimeout", "RetryMax", "DrainTimeout"}, fields)
	require.ErrorContains(t, err, "pool")
	require.ErrorContains(t, err, "handler")

	_, err = inboxkafka.NewConsumer(inboxkafka.Config{}, nil, nil)
	require.ErrorContains(t, err, "Config.Brokers")
	require.ErrorContains(t, err, "Config.Consumer")
	require.ErrorContains(t, err, "Config.Topics")
}

func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

// run runs a consumer whose start must fail with a StartError.
func (w *world) startError(config inboxkafka.Config, pool *pgxpool.Pool) *inboxkafka.StartError {
	w.Helper()
	consumer, err := inboxkafka.NewConsumer(config, pool, effect)
	require.NoError(w, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = consumer.Run(ctx)
	var start *inboxkafka.StartError
	require.ErrorAs(w, err, &start)
	require.NotEmpty(w, start.Hint)
	return start
}

func TestStartRefusesADatabaseThatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	inDatabase := func(change string) *pgxpool.Pool {
		admin := testinbox.Pool(t, testservers.Migrated(t))
		_, err := admin.Exec(t.Context(), change)
		require.NoError(t, err)
		return admin
	}
	for name, c := range map[string]struct {
		pool          *pgxpool.Pool
		subject, says string
	}{
		"no schema":      {testinbox.Pool(t, testservers.Postgres(t)), "schema", "migrate up"},
		"older schema":   {inDatabase(`UPDATE tandem.settings SET schema_version = schema_version - 1`), "schema", "migrate up"},
		"newer schema":   {inDatabase(`UPDATE tandem.settings SET schema_version = schema_version + 1, works_with = schema_version + 1`), "schema", "upgrade this program"},
		"missing grants": {inDatabase(`REVOKE INSERT ON tandem.inbox FROM tandem_consumer`), "database", "tandem_consumer"},
	} {
		config := w.config()
		if name == "missing grants" {
			c.pool = testinbox.Pool(t, testinbox.AsConsumer(t, c.pool.Config().ConnString()))
		}
		err := w.startError(config, c.pool)
		require.Equal(t, c.subject, err.Subject, name)
		require.ErrorContains(t, err, c.says, name)
	}
}

func TestStartRefusesAWrongPasswordWithoutShowingIt(t *testing.T) {
	t.Parallel()
	server := testservers.OwnPostgres(t)
	u, err := url.Parse(server.URL("postgres"))
	require.NoError(t, err)
	u.User = url.UserPassword(u.User.Username(), "s3cret-w0rd")
	pool := testinbox.Pool(t, u.String())
	w := &world{TB: t, logs: &logs{changed: make(chan struct{})}, cluster: kfake.MustCluster(kfake.SeedTopics(1, topic))}
	defer w.cluster.Close()
	start := w.startError(w.config(), pool)
	require.Equal(t, "database", start.Subject)
	require.NotContains(t, start.Error(), "s3cret-w0rd")
}

func TestStartWaitsForWhatCannotBeReachedAndThenSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := nobody.Addr().String()
	require.NoError(t, nobody.Close())

	config := w.config()
	config.StartTimeout = 100 * time.Millisecond
	start := w.startError(config, testinbox.Pool(t, "postgres://u:s3cret@"+address+"/d?sslmode=disable"))
	require.Equal(t, "database", start.Subject)
	require.ErrorContains(t, start, "100ms")
	require.NotContains(t, start.Error(), "s3cret")

	config.Brokers = []string{address}
	config.StartTimeout = 5 * time.Second // the database is to be reached meanwhile
	start = w.startError(config, w.pool)
	require.Equal(t, "brokers", start.Subject)
	require.ErrorContains(t, start, address)
}

func TestStartRefusesATopicThatDoesNotExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config := w.config()
	config.Topics = append(config.Topics, "no-such-topic")
	start := w.startError(config, w.pool)
	require.Equal(t, "topic", start.Subject)
	require.ErrorContains(t, start, "no-such-topic")
}

func TestStartRefusesAWrongBrokerPassword(t *testing.T) {
	t.Parallel()
	w := newWorldWithoutProducer(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "admin", "right"))
	config := w.config()
	config.SASL = plain.Mechanism{Username: "admin", Password: "wr0ng-s3cret"}
	start := w.startError(config, w.pool)
	require.Equal(t, "brokers", start.Subject)
	require.NotContains(t, start.Error(), "wr0ng-s3cret")
}

func TestStartRefusesASessionTimeoutThatTheBrokersDoNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, kfake.GroupMinSessionTimeout(6*time.Second))
	start := w.startError(w.config(), w.pool)
	require.Equal(t, "group", start.Subject)
	require.ErrorContains(t, start, "SessionTimeout")
}

func TestRunManyTimesLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, 2)
	w.produce(0, "a")
	w.produce(1, "b")
	w.producer.Close()
	named := w.pool.Config()
	named.ConnConfig.RuntimeParams["application_name"] = "many times"
	var err error
	w.pool, err = pgxpool.NewWithConfig(t.Context(), named)
	require.NoError(t, err)
	defer w.pool.Close()
	ignore := goleak.IgnoreCurrent()
	consumer := w.consumer(w.config(), effect)
	for i := range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- consumer.Run(ctx) }()
		// Sometimes at once, sometimes while joining, sometimes at work.
		timer := time.AfterFunc(time.Duration(i)*250*time.Microsecond, cancel)
		require.NoError(t, <-done)
		timer.Stop()
		cancel()
	}
	w.pool.Reset() // its health check may have been at work
	w.awaitRow(`SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'many times'`)
	goleak.VerifyNone(t, ignore)
	stop := w.start(w.config(), effect)
	w.awaitCommitted(0, 1)
	w.awaitCommitted(1, 1)
	stop()
	require.ElementsMatch(t, []string{"a", "b"}, w.effects())
}

// A schema that was migrated further, and says that programs of this version go on
// working with it, is worked with.
func TestStartInANewerSchemaThatWorksWithThisProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	_, err := w.admin.Exec(t.Context(), `UPDATE tandem.settings SET schema_version = schema_version + 1`)
	require.NoError(t, err)
	w.produce(0, "a")
	w.start(w.config(), effect)
	w.awaitCommitted(0, 1)
	require.Equal(t, []string{"a"}, w.effects())
}
