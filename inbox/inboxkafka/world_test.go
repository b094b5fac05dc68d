package inboxkafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const (
	topic    = "orders"
	patience = 30 * time.Second // longer than anything here takes
)

// world is a database and a broker of its own for one test.
type world struct {
	testing.TB
	cluster     *kfake.Cluster
	producer    *kgo.Client
	admin, pool *pgxpool.Pool
	logs        *logs
}

func newWorld(t testing.TB, partitions int32, options ...kfake.Opt) *world {
	t.Helper()
	w := newWorldWithoutProducer(t, append([]kfake.Opt{kfake.SeedTopics(partitions, topic)}, options...)...)
	w.producer = w.client()
	return w
}

func newWorldWithoutProducer(t testing.TB, options ...kfake.Opt) *world {
	t.Helper()
	w := &world{TB: t, logs: &logs{changed: make(chan struct{})}}
	address := testservers.Migrated(t)
	w.admin = testinbox.Pool(t, address)
	testinbox.Effects(t, w.admin)
	w.pool = testinbox.Pool(t, testinbox.AsConsumer(t, address))
	options = append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Millisecond),
	}, options...)
	w.cluster = kfake.MustCluster(options...)
	t.Cleanup(w.cluster.Close)
	return w
}

func (w *world) client(options ...kgo.Opt) *kgo.Client {
	w.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, options...)...)
	require.NoError(w, err)
	w.Cleanup(client.Close)
	return client
}

// record is a message with a new id, as Tandem's relay sends it.
func record(partition int32, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value), Headers: []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte(uuid.Must(uuid.NewV7()).String())},
	}}
}

// produce sends records with new ids and these values, and returns them.
func (w *world) produce(partition int32, values ...string) []*kgo.Record {
	w.Helper()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, record(partition, v))
	}
	w.send(records...)
	return records
}

func (w *world) send(records ...*kgo.Record) {
	w.Helper()
	require.NoError(w, w.producer.ProduceSync(context.Background(), records...).FirstErr())
}

func (w *world) config() inboxkafka.Config {
	return inboxkafka.Config{
		Brokers:        w.cluster.ListenAddrs(),
		Consumer:       "billing",
		Topics:         []string{topic},
		RetryMin:       time.Millisecond,
		RetryMax:       20 * time.Millisecond,
		SessionTimeout: 2 * time.Second,
		DrainTimeout:   time.Second,
		StartTimeout:   patience,
		Logger:         slog.New(w.logs),
	}
}

// start runs a consumer and returns what stops it, which a test's end does too.
func (w *world) start(config inboxkafka.Config, handler inbox.Handler) (stop func()) {
	w.Helper()
	consumer, err := inboxkafka.NewConsumer(config, w.pool, handler)
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			w.Errorf("Run does not end")
		}
	})
	w.Cleanup(stop)
	return stop
}

// keyed is record with a key.
func keyed(partition int32, key, value string) *kgo.Record {
	r := record(partition, value)
	r.Key = []byte(key)
	return r
}

// set aside, as "state value" in the order of storing.
const asideSQL = `SELECT coalesce(array_agg(state || ' ' || coalesce(convert_from(value, 'UTF8'), 'NULL') ORDER BY aside), '{}') FROM tandem.inbox_aside`

// awaitRow waits until a query, which returns one boolean, is true.
func (w *world) awaitRow(query string, args ...any) {
	w.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var yes bool
		require.NoError(w, w.admin.QueryRow(context.Background(), query, args...).Scan(&yes))
		if yes {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatalf("it does not become true: %s %v; set aside: %q; effects: %q; logs: %q", query, args,
				testinbox.Strings(w, w.admin, asideSQL), w.effects(), w.logs.of(slog.LevelInfo))
		}
	}
}

// awaitEffects waits until there are that many.
func (w *world) awaitEffects(n int) []string {
	w.Helper()
	w.awaitRow(`SELECT count(*) >= $1 FROM app.effects`, n)
	return w.effects()
}

// awaitParked waits until that many messages are parked and none is retried.
func (w *world) awaitParked(n int) {
	w.Helper()
	w.awaitRow(`SELECT count(*) FILTER (WHERE state = 'parked' AND NOT redrive) = $1 AND count(*) FILTER (WHERE state = 'retrying') = 0 FROM tandem.inbox_aside`, n)
}

// redrive does what tandem inbox parked redrive does.
func (w *world) redrive() {
	w.Helper()
	_, err := w.admin.Exec(context.Background(), `
		WITH asked AS (UPDATE tandem.inbox_aside SET redrive = true WHERE state = 'parked' RETURNING consumer, topic, partition)
		UPDATE tandem.inbox_partition SET changed = changed + 1 WHERE (consumer, topic, partition) IN (SELECT consumer, topic, partition FROM asked)`)
	require.NoError(w, err)
}

// effect is the usual handler: one row, named by the payload.
func effect(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	_, err := tx.Exec(ctx, `INSERT INTO app.effects (name) VALUES ($1)`, string(m.Value))
	return err
}

func (w *world) effects() []string {
	w.Helper()
	return testinbox.Strings(w, w.admin, `SELECT coalesce(array_agg(name ORDER BY n), '{}') FROM app.effects`)
}

// awaitCommitted waits until the group's offset in a partition is offset.
func (w *world) awaitCommitted(partition int32, offset int64) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	info, err := w.cluster.WaitGroupInfo(ctx, "billing", func(g *kfake.GroupInfo) bool {
		return g != nil && g.Commits[topic][partition].Offset == offset
	})
	require.NoError(w, err, "waiting for offset %d of partition %d, at last: %+v", offset, partition, info)
}

func (w *world) committed(partition int32) int64 {
	if g := w.cluster.GroupInfo("billing"); g != nil {
		return g.Commits[topic][partition].Offset
	}
	return 0
}

// logs keeps what was logged.
type logs struct {
	mu      sync.Mutex
	entries []entry
	changed chan struct{}
}

type entry struct {
	level slog.Level
	text  string // the message and all attributes
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithGroup(string) slog.Handler            { return l }
func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler { return &withAttrs{l, attrs} }

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += fmt.Sprintf(" %s=%v", a.Key, a.Value); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{r.Level, text})
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

type withAttrs struct {
	*logs
	attrs []slog.Attr
}

func (w *withAttrs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &withAttrs{w.logs, append(append([]slog.Attr{}, w.attrs...), attrs...)}
}

func (w *withAttrs) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(w.attrs...)
	return w.logs.Handle(ctx, r)
}

// await returns the first n entries of a level or above.
func (l *logs) await(t testing.TB, level slog.Level, n int) []string {
	t.Helper()
	deadline := time.After(patience)
	for {
		found := l.of(level)
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if len(found) >= n || len(l.of(level)) >= n {
			return l.of(level)
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d entries of level %v or above, want %d: %q", len(found), level, n, l.of(slog.LevelDebug))
		}
	}
}

func (l *logs) of(level slog.Level) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.entries {
		if e.level >= level {
			out = append(out, e.text)
		}
	}
	return out
}

func (w *world) consumer(config inboxkafka.Config, handler inbox.Handler) *inboxkafka.Consumer {
	w.Helper()
	consumer, err := inboxkafka.NewConsumer(config, w.pool, handler)
	require.NoError(w, err)
	return consumer
}

// run runs a consumer until the test ends.
func (w *world) run(consumer *inboxkafka.Consumer) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			w.Errorf("Run does not end")
		}
	})
}

// logIn makes w.pool that of a login of its own, as services have one: a member of
// tandem_consumer and no superuser.
func (w *world) logIn() {
	w.Helper()
	name := "consumer_" + uuid.NewString()[:8]
	_, err := w.admin.Exec(context.Background(), `CREATE ROLE `+name+` LOGIN PASSWORD 'secret' IN ROLE tandem_consumer`)
	require.NoError(w, err)
	w.Cleanup(func() {
		_, err := w.admin.Exec(context.Background(), `DROP ROLE `+name)
		require.NoError(w, err)
	})
	u, err := url.Parse(w.pool.Config().ConnString())
	require.NoError(w, err)
	u.User = url.UserPassword(name, "secret")
	q := u.Query()
	q.Del("role")
	u.RawQuery = q.Encode()
	w.pool = testinbox.Pool(w, u.String())
}
