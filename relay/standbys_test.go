package relay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay"
)

// syncLog is a log on a server with one synchronous standby, which a relay of
// the configuration waits for.
func syncLog(t testing.TB, m *memory) (l, standby *log, cfg relay.Config) {
	t.Helper()
	server := testservers.OwnPostgres(t)
	migrated(t, server).pool.Close() // the server is restarted
	follower := testservers.OwnStandby(t, server)
	l, standby = openLog(t, server.URL("postgres")), openLog(t, follower.URL("postgres"))
	cfg = l.config(t, m)
	cfg.SyncStandbys, cfg.Lease = true, 5*time.Second
	return l, standby, cfg
}

// nameStandby makes commits wait for the standby.
func (l *log) nameStandby(t testing.TB) {
	t.Helper()
	l.exec(t, `ALTER SYSTEM SET synchronous_standby_names = 'standby'`)
	l.exec(t, `SELECT pg_reload_conf()`)
	eventually(t, func() bool {
		return l.int(t, `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'`) == 1
	})
}

// addLocally is a commit that waits for no standby, as a writer may choose.
func (l *log) addLocally(t testing.TB, payload string) {
	t.Helper()
	tx, err := l.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SET LOCAL synchronous_commit = local`)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT tandem.add('orders', $1::text, 'k')`, payload)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
}

// While the synchronous standby is away nothing is published, though writers
// commit; when it is back everything is. A commit that is told to wait no longer
// counts for nothing.
func TestNothingIsPublishedThatTheStandbyDoesNotHave(t *testing.T) {
	t.Parallel()
	m := newMemory(1)
	l, standby, cfg := syncLog(t, m)
	l.nameStandby(t)
	r, stop := start(t, cfg)
	l.addLocally(t, "1")
	m.await(t, 1)

	standby.cutOff(t)
	l.addLocally(t, "2")
	waiting := func() int {
		return l.int(t, `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tandem relay%' AND wait_event = 'SyncRep'`)
	}
	eventually(t, func() bool { return waiting() == 1 })
	saves := map[string]bool{} // that were cancelled, by when they began
	eventually(t, func() bool {
		var began *string
		require.NoError(t, l.pool.QueryRow(t.Context(), `SELECT max(query_start::text) FILTER (WHERE query LIKE '%save_checkpoint%' AND cancelled)
			FROM (SELECT query_start, query, pg_cancel_backend(pid) AS cancelled FROM pg_stat_activity
				WHERE application_name LIKE 'tandem relay%' AND wait_event = 'SyncRep') AS waiting`).Scan(&began))
		if began != nil {
			saves[*began] = true
		}
		return len(saves) == 3
	})
	eventually(t, func() bool { return r.State() == relay.Interrupted })
	eventually(t, func() bool { return waiting() == 1 }) // acquiring the lease
	require.Equal(t, []string{"1"}, payloads(m.all()))

	standby.reconnect(t)
	m.await(t, 2)
	require.NoError(t, stop())
	require.Equal(t, []string{"1", "2"}, payloads(m.all()))
}

// Asked to wait for standbys where none is named, the relay says so.
func TestSyncStandbysWithoutOne(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	m := newMemory(1)
	cfg := l.config(t, m)
	cfg.SyncStandbys = true
	var setup *relay.SetupError
	require.ErrorAs(t, relay.Run(t.Context(), cfg), &setup)
	require.Contains(t, setup.Problem, "synchronous_standby_names is empty")
	require.Contains(t, setup.Remedy, "name the standbys")
	require.Empty(t, m.all())
}
