package migrations_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/relay"
)

// A migration as a later release may have it: it needs the log for itself, and leaves
// works_with alone, so that programs of this version go on.
var nextFile = fmt.Sprintf(`-- +goose Up
ALTER TABLE tandem.log ADD COLUMN next text;
UPDATE tandem.settings SET schema_version = %d;
-- +goose Down
ALTER TABLE tandem.log DROP COLUMN next;
UPDATE tandem.settings SET schema_version = %d;
`, next, schema.Version)

const next = schema.Version + 1

// withNext is a Migrator of that release, which gives up after patience.
func withNext(t testing.TB, config *pgx.ConnConfig, patience time.Duration) *migrations.Migrator {
	t.Helper()
	m := openWith(t, config, "")
	m.With(fmt.Sprintf("%05d_next.sql", next), nextFile)
	m.Hurry(50*time.Millisecond, patience)
	return m
}

// published counts what a relay publishes.
type published struct {
	mu   sync.Mutex
	seen map[string]int
}

func (p *published) Partitions(context.Context, string) (int, error) { return 1, nil }

func (p *published) Publish(_ context.Context, _ string, _ int, events []*relay.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		p.seen[string(e.Payload)]++
	}
	return nil
}

func (p *published) all() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

// While a writer's transaction is open the migration cannot have the log; it waits,
// and the other writers and the relay go on. Then it comes through, and they go on.
func TestUpWhileWritersAndARelayWork(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	writer, held := connect(t, address), connect(t, address)
	write := func(n int) {
		t.Helper()
		require.NoError(t, pgx.BeginFunc(t.Context(), writer, func(tx pgx.Tx) error {
			return outbox.Add(t.Context(), tx, outbox.Event{Topic: "orders", Key: "k", Payload: fmt.Append(nil, n)})
		}))
	}
	to := &published{seen: map[string]int{}}
	ctx, stop := context.WithCancel(context.Background())
	relayed := make(chan error, 1)
	go func() { relayed <- relay.Run(ctx, relay.Config{Database: parse(t, address), Publisher: to}) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-relayed) })

	open, err := held.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, outbox.Add(t.Context(), open, outbox.Event{Topic: "orders", Key: "held", Payload: []byte("held")}))

	waiting := make(chan string, 1)
	config := parse(t, address)
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		select {
		case waiting <- n.Message:
		default:
		}
	}
	m := withNext(t, config, time.Hour)
	done := make(chan error, 1)
	go func() {
		_, err := m.Up(context.Background())
		done <- err
	}()
	said := <-waiting
	require.Contains(t, said, fmt.Sprintf("session %d of", held.PgConn().PID()))
	for n := range 100 { // each waits for a try of the migration at most
		write(n)
	}
	select {
	case err := <-done:
		require.FailNow(t, "the migration did not wait", "%v", err)
	default:
	}
	require.NoError(t, open.Commit(t.Context()))
	require.NoError(t, <-done)

	for n := 100; n < 200; n++ {
		write(n)
	}
	require.Eventually(t, func() bool { return to.all() == 201 }, time.Minute, 10*time.Millisecond)
	to.mu.Lock()
	defer to.mu.Unlock()
	for payload, times := range to.seen {
		require.Equal(t, 1, times, payload)
	}
}

// One that can never have its lock gives up, names who is in the way, and has changed
// nothing.
func TestUpGivesUp(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	held := connect(t, address)
	open, err := held.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, outbox.Add(t.Context(), open, outbox.Event{Topic: "orders"}))
	steps, err := withNext(t, parse(t, address), 0).Up(t.Context())
	require.Empty(t, steps)
	require.Equal(t, "55P03", code(t, err))
	require.ErrorContains(t, err, fmt.Sprintf("session %d of", held.PgConn().PID()))
	require.Equal(t, schema.Version, applied(t, openWith(t, parse(t, address), "")))
}

// An older program leaves a newer schema alone: it is content where it may work, and
// says so where it may not, and takes nothing back that it does not know.
func TestAnOlderProgramInANewerSchema(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	newer, older := withNext(t, parse(t, address), 0), openWith(t, parse(t, address), "")
	_, err := newer.Up(t.Context())
	require.NoError(t, err)

	steps, err := older.Up(t.Context())
	require.NoError(t, err)
	require.Empty(t, steps)
	steps, err = older.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, steps, next)
	require.EqualValues(t, next, steps[next-1].Version)
	require.Empty(t, steps[next-1].File)
	require.True(t, steps[next-1].Applied)
	for _, to := range []int64{0, schema.Version} {
		steps, err = older.DownTo(t.Context(), to)
		require.ErrorContains(t, err, fmt.Sprintf("the newest is %d", next))
		require.ErrorContains(t, err, "with the release that brought them")
		require.Empty(t, steps)
	}

	_, err = connect(t, address).Exec(t.Context(), `UPDATE tandem.settings SET works_with = schema_version`)
	require.NoError(t, err)
	_, err = older.Up(t.Context())
	require.ErrorContains(t, err, "upgrade this program")

	_, err = newer.DownTo(t.Context(), schema.Version)
	require.NoError(t, err)
	require.Equal(t, schema.Version, applied(t, older))
}
