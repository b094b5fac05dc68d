package relay_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/localpg"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
	"github.com/tandem-outbox/tandem/relay"
)

// ownLog is a log on a server that nobody else uses: idle when the test is.
func ownLog(t testing.TB, settings map[string]string) *log {
	t.Helper()
	return migrated(t, testservers.OwnPostgres(t, settings))
}

// migrated brings Tandem's schema into a server of this test's own.
func migrated(t testing.TB, server *localpg.Server) *log {
	t.Helper()
	config, err := pgx.ParseConfig(server.URL("postgres"))
	require.NoError(t, err)
	m, err := migrations.Open(config, "")
	require.NoError(t, err)
	defer m.Close()
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	return openLog(t, server.URL("postgres"))
}

// After pg_switch_wal on an idle server the WAL's insert position stands beyond
// the flushed one for as long as nothing is written; an event committed right
// before it is published all the same.
func TestASwitchOfWALOnAnIdleServerDelaysNothing(t *testing.T) {
	t.Parallel()
	l := ownLog(t, nil)
	m := newMemory(1)
	start(t, l.config(t, m))
	for i := range 5 {
		l.exec(t, `SELECT tandem.add('orders', 'event'); SELECT pg_switch_wal()`, pgx.QueryExecModeSimpleProtocol)
		m.await(t, i+1)
	}
}

// A dump holds ACCESS SHARE on every table for as long as it takes. The relay
// goes on, and so does the checkpoint, whose table is cut back afterwards.
func TestADumpStopsNeitherRelayNorCheckpoint(t *testing.T) {
	t.Parallel()
	l := ownLog(t, map[string]string{"fsync": "off"}) // it takes thousands of saves
	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.SaveEvery, cfg.BatchEvents = time.Microsecond, 10
	start(t, cfg)
	dump, err := l.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	require.NoError(t, err)
	_, err = dump.Exec(t.Context(), `LOCK TABLE tandem.log, tandem.checkpoint, tandem.lease IN ACCESS SHARE MODE`)
	require.NoError(t, err)

	sum := 0
	saves := func() int { return l.int(t, `SELECT count(*) FROM tandem.checkpoint`) }
	for saves() < 4200 { // more than are left before the table is cut back
		l.fill(t, "orders", 1000)
		sum += 1000
		m.await(t, sum)
	}
	require.NoError(t, dump.Rollback(t.Context()))
	for saves() > 200 {
		l.fill(t, "orders", 1000)
		sum += 1000
		m.await(t, sum)
	}
	requireOrdered(t, m, sum)
}

// What a checkpoint says must not be believed where it was not saved.
func TestRestoreGate(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"empty":            `TRUNCATE tandem.checkpoint`,
		"another cluster":  `UPDATE tandem.checkpoint SET system = 1`,
		"another database": `UPDATE tandem.checkpoint SET database = 1`,
		"another timeline": `UPDATE tandem.checkpoint SET timeline = 99`,
		"ahead":            `UPDATE tandem.checkpoint SET prev = '9000000:9000000:'`,
		"foreign rows":     `INSERT INTO tandem.log (tx, topic) VALUES ('9000000', 'orders')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			m := newMemory(1)
			l.add(t, "orders", "k", "1")
			drain(t, l.config(t, m))
			l.add(t, "orders", "k", "2")
			l.exec(t, damage)
			err := relay.Run(t.Context(), l.config(t, m))
			var setup *relay.SetupError
			require.True(t, errors.As(err, &setup), "%v", err)
			require.Contains(t, setup.Remedy, "tandem rebase")
			require.Equal(t, []string{"1"}, payloads(m.all()), "something was published")
		})
	}
}
