//go:build unix

package relay_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/pgproxy"
)

// A term may take longer than the lease to find out where to begin: the lease is
// renewed meanwhile. Else relays of a slow server would take it from each other for
// ever, and none would publish anything.
func TestTheLeaseIsKeptWhileATermBegins(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	p := pgproxy.Start(t, l.url)
	m := newMemory(1)
	cfg := l.config(t, m)
	cfg.Lease = 3 * time.Second
	var err error
	cfg.Database, err = pgx.ParseConfig(p.URL())
	require.NoError(t, err)
	renewed := make(chan bool, 1)
	p.After(pgproxy.Containing("claims, system, timeline"), func() {
		const kept = `SELECT epoch = 1 AND expires_at > acquired_at + interval '6 seconds' FROM tandem.lease`
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
			var yes bool
			if l.pool.QueryRow(t.Context(), kept).Scan(&yes) == nil && yes {
				renewed <- true
				return
			}
		}
		renewed <- false
	})
	_, stop := start(t, cfg)
	require.True(t, <-renewed, "the lease has run out")
	m.await(t, 1)
	require.NoError(t, stop())
}
