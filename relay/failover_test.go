package relay_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/localpg"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
)

// A standby is promoted that had not received everything that was published. The
// relay, which follows the primary wherever it is, must not go on by itself: it
// says what happened and what to do. After that everything that the new primary
// has is published.
func TestFailoverToAStandbyThatLagged(t *testing.T) {
	t.Parallel()
	old := testservers.OwnPostgres(t)
	migrated(t, old).pool.Close() // the server is restarted
	standby := testservers.OwnStandby(t, old)
	l, onStandby := openLog(t, old.URL("postgres")), openLog(t, standby.URL("postgres"))
	m := newMemory(1)
	cfg := l.config(t, m)
	cfg.Database = both(t, old, standby)
	r, err := relay.New(cfg)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()

	for _, payload := range []string{"1", "2", "3"} {
		l.add(t, "orders", "k", payload)
	}
	m.await(t, 3)
	eventually(t, func() bool {
		return onStandby.int(t, `SELECT count(*) FROM tandem.log`) == 3 && onStandby.int(t, `SELECT count(*) FROM tandem.checkpoint WHERE epoch > 0`) > 0
	})
	requireStandbyRefused(t, onStandby)

	onStandby.cutOff(t)
	l.add(t, "orders", "k", "lost")
	m.await(t, 4)
	l.pool.Close()
	old.Kill()
	require.NoError(t, standby.Promote(t.Context()))
	onStandby.add(t, "orders", "k", "4")

	var setup *relay.SetupError
	require.ErrorAs(t, <-ended, &setup)
	require.Contains(t, setup.Problem, "timeline has changed from 1 to 2")
	require.Contains(t, setup.Remedy, "tandem rebase")
	require.NotContains(t, payloads(m.all()), "4")

	owner, err := pgx.ParseConfig(onStandby.url)
	require.NoError(t, err)
	_, err = relay.Rebase(t.Context(), owner, "tandem", relay.RebaseOptions{})
	require.NoError(t, err)
	onStandby.add(t, "orders", "k", "5")
	drain(t, onStandby.config(t, m))
	published := payloads(m.all())
	require.Equal(t, []string{"1", "2", "3", "lost"}, published[:4])
	require.Equal(t, []string{"4", "5"}, published[len(published)-2:])
	for _, payload := range []string{"1", "2", "3", "4", "5"} {
		require.Contains(t, published, payload)
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(published))), 6)
}

// both is a relay's configuration that finds the primary of two servers.
func both(t testing.TB, one, two *localpg.Server) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig(one.URL("postgres"))
	require.NoError(t, err)
	config, err = pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=%s password=%s dbname=postgres sslmode=disable target_session_attrs=read-write",
		one.Port(), two.Port(), config.User, config.Password))
	require.NoError(t, err)
	config.RuntimeParams["role"] = "tandem_relay"
	config.RuntimeParams["search_path"] = ""
	return config
}

func requireStandbyRefused(t testing.TB, standby *log) {
	t.Helper()
	m := newMemory(1)
	var setup *relay.SetupError
	require.ErrorAs(t, relay.Run(t.Context(), standby.config(t, m)), &setup)
	require.Contains(t, setup.Problem, "is a standby")
	require.Contains(t, setup.Remedy, "target_session_attrs=read-write")
	require.Empty(t, m.all())
}

// cutOff ends a standby's connection to its primary.
func (l *log) cutOff(t testing.TB) {
	t.Helper()
	l.exec(t, `ALTER SYSTEM SET primary_conninfo = ''`)
	l.exec(t, `SELECT pg_reload_conf()`)
	eventually(t, func() bool { return l.int(t, `SELECT count(*) FROM pg_stat_wal_receiver`) == 0 })
}

// reconnect undoes cutOff.
func (l *log) reconnect(t testing.TB) {
	t.Helper()
	l.exec(t, `ALTER SYSTEM RESET primary_conninfo`)
	l.exec(t, `SELECT pg_reload_conf()`)
}

// eventually waits in the test's own goroutine, so that condition may fail it.
func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(t, "it did not happen within 30s")
		}
	}
}
