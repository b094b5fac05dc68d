package relay_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Each change of state is one line, whatever number of attempts it takes.
func TestEachChangeOfStateIsLoggedOnce(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	said := &recorder{}
	cfg := l.config(t, m)
	cfg.Logger, cfg.Lease = said.logger(t), 6*time.Second
	_, stop := start(t, cfg)
	l.awaitRow(t, `state = 'relaying'`)
	other := &recorder{}
	cfg.Logger = other.logger(t)
	start(t, cfg)
	l.awaitRow(t, `state = 'standby'`)
	l.fill(t, "orders", 100)
	m.await(t, 100)

	// Many looks at the lease, renewals and polls later:
	l.awaitRow(t, `state = 'standby' AND seen_at > started_at + interval '4 seconds'`)
	require.Equal(t, 1, said.count("relaying"))
	require.Equal(t, 1, other.count("standing by"))

	// The database refuses connections for a while.
	elsewhere, err := pgx.ParseConfig(l.url)
	require.NoError(t, err)
	name := elsewhere.Database
	elsewhere.Database = "postgres"
	admin, err := pgx.ConnectConfig(t.Context(), elsewhere)
	require.NoError(t, err)
	defer admin.Close(context.Background())
	allow := func(may bool) {
		_, err := admin.Exec(context.Background(), fmt.Sprintf(`ALTER DATABASE %s ALLOW_CONNECTIONS %t`, name, may))
		require.NoError(t, err)
	}
	defer allow(true)
	allow(false)
	l.int(t, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tandem relay%'`)
	require.Eventually(t, func() bool { // some attempts later
		return l.int(t, `SELECT count(*) FROM tandem.lease WHERE expires_at < clock_timestamp()`) == 1
	}, 30*time.Second, 10*time.Millisecond)
	allow(true)
	require.Eventually(t, func() bool {
		return said.count("the database answers again") == 1 && other.count("the database answers again") == 1
	}, 30*time.Second, 10*time.Millisecond)
	for _, each := range []*recorder{said, other} {
		require.Positive(t, each.count("interrupted"))
		require.LessOrEqual(t, each.count("interrupted"), 3, "one for each way to fail: cut off, refused")
	}
	l.fill(t, "orders", 100)
	m.distinct(t, 200)
	require.NoError(t, stop())
}
