package relay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// memory is a Publisher that keeps what it is given.
type memory struct {
	partitions int

	mu      sync.Mutex
	records map[string][]record // by topic/partition
	count   int
	changed chan struct{}
	fail    func(topic string, partition int, events []*relay.Event) error
	layout  func(topic string) (int, error) // in place of partitions
}

type record struct {
	ID       [16]byte
	Key      string
	Payload  string
	Position int64
	Replay   int64
}

func newMemory(partitions int) *memory {
	return &memory{partitions: partitions, records: map[string][]record{}, changed: make(chan struct{}, 1)}
}

func (m *memory) Partitions(_ context.Context, topic string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.layout != nil {
		return m.layout(topic)
	}
	return m.partitions, nil
}

func (m *memory) Publish(_ context.Context, topic string, partition int, events []*relay.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(topic, partition, events); err != nil {
			return err
		}
	}
	lane := fmt.Sprintf("%s/%d", topic, partition)
	for _, e := range events {
		m.records[lane] = append(m.records[lane], record{ID: e.ID, Key: string(e.Key), Payload: string(e.Payload), Position: e.Position, Replay: e.Replay})
	}
	m.count += len(events)
	select {
	case m.changed <- struct{}{}:
	default:
	}
	return nil
}

// all returns the records of every lane, lane after lane.
func (m *memory) all() []record {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []record
	for _, records := range m.records {
		out = append(out, records...)
	}
	return out
}

// await waits until n records have been published in all.
func (m *memory) await(t testing.TB, n int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		m.mu.Lock()
		count := m.count
		m.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-m.changed:
		case <-deadline:
			t.Fatalf("%d records were published, %d expected", count, n)
		}
	}
}

// log is a database with Tandem's schema and a pool to write to it.
type log struct {
	url  string
	pool *pgxpool.Pool
}

func newLog(t testing.TB) *log {
	t.Helper()
	return openLog(t, testservers.Migrated(t))
}

func openLog(t testing.TB, address string) *log {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &log{url: address, pool: pool}
}

// add adds one event as a transaction of its own.
func (l *log) add(t testing.TB, topic, key, payload string) {
	t.Helper()
	l.exec(t, `SELECT tandem.add($1, $2::text, $3)`, topic, payload, key)
}

// fill adds n events at once, with keys k0 to k99 and their numbers as payload.
func (l *log) fill(t testing.TB, topic string, n int) {
	t.Helper()
	l.exec(t, `INSERT INTO tandem.log (topic, key, payload)
		SELECT $1, 'k' || n % 100, n::text::bytea FROM generate_series(1, $2::int) AS n`, topic, n)
}

func (l *log) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := l.pool.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

func (l *log) int(t testing.TB, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, l.pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

// config is a relay's with a relay's rights alone and no search_path. Its lease
// outlasts a pause of the machine: most tests count on one term. Who needs it to
// run out sooner says so.
func (l *log) config(t testing.TB, p relay.Publisher) relay.Config {
	t.Helper()
	config, err := pgx.ParseConfig(l.url)
	require.NoError(t, err)
	config.RuntimeParams["role"] = "tandem_relay"
	config.RuntimeParams["search_path"] = ""
	return relay.Config{Database: config, Publisher: p, Lease: 15 * time.Second, Logger: logger(t)}
}

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start runs a relay until stop is called or the test ends. stop returns what
// Run returned.
func start(t testing.TB, cfg relay.Config) (r *relay.Relay, stop func() error) {
	t.Helper()
	r, err := relay.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- r.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-result
	})
	t.Cleanup(func() { _ = stop() })
	return r, stop
}

// drain relays everything that is in the log and returns.
func drain(t testing.TB, cfg relay.Config) relay.Stats {
	t.Helper()
	cfg.UntilEmpty = true
	r, err := relay.New(cfg)
	require.NoError(t, err)
	require.NoError(t, r.Run(t.Context()))
	return r.Stats()
}

// setAside lists what is set aside, in order of position, as payload and state.
func (l *log) setAside(t testing.TB) []string {
	t.Helper()
	rows, err := l.pool.Query(t.Context(), `SELECT convert_from(payload, 'UTF8') || ' ' || state FROM tandem.parked ORDER BY position`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

// redrive asks for every parked event to be sent again, and returns the request.
func (l *log) redrive(t testing.TB) (request int) {
	t.Helper()
	return l.int(t, `WITH r AS (INSERT INTO tandem.request (kind, total) SELECT 'redrive', count(*) FROM tandem.deferred WHERE state = 'parked' RETURNING request),
		d AS (UPDATE tandem.deferred SET redrive = (SELECT request FROM r) WHERE state = 'parked')
		SELECT request FROM r`)
}

// freeLease is for a relay that has ended without giving its lease up.
func (l *log) freeLease(t testing.TB) {
	t.Helper()
	l.exec(t, `UPDATE tandem.lease SET expires_at = '-infinity'`)
}

// await waits until the query, which returns one boolean, says yes.
func (l *log) await(t testing.TB, query string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool {
		var yes bool
		require.NoError(t, l.pool.QueryRow(t.Context(), query, args...).Scan(&yes))
		return yes
	}, 30*time.Second, 5*time.Millisecond, query)
}

// refusing makes the publisher refuse events of these payloads.
func refusing(m *memory, refused ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = func(_ string, _ int, events []*relay.Event) error {
		for _, e := range events {
			if slices.Contains(refused, string(e.Payload)) {
				return &relay.PublishError{Verdict: relay.RefusedRecords, Hint: "make it smaller", Err: errors.New("too large")}
			}
		}
		return nil
	}
}
