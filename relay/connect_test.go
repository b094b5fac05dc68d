package relay_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// What BeforeConnect changes is a connection's own, and it is asked each time.
func TestBeforeConnectChangesEachConnection(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.fill(t, "orders", 10)
	m := newMemory(1)
	cfg := l.config(t, m)
	cfg.Database.RuntimeParams["role"] = "nobody_of_this_name"
	var asked atomic.Int32
	cfg.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
		if config.RuntimeParams["role"] == "nobody_of_this_name" {
			asked.Add(1)
		}
		config.RuntimeParams["role"] = "tandem_relay"
		return nil
	}
	drain(t, cfg)
	require.Len(t, m.all(), 10)
	require.GreaterOrEqual(t, asked.Load(), int32(2), "the keeper's connection and the reader's")
	require.Equal(t, "nobody_of_this_name", cfg.Database.RuntimeParams["role"])
}

// A secret that cannot be had yet is waited for, like a server.
func TestBeforeConnectFails(t *testing.T) {
	t.Parallel()
	cfg := newLog(t).config(t, newMemory(1))
	cfg.StartTimeout = 2 * time.Second
	sealed := errors.New("the vault is sealed")
	cfg.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { return sealed }
	err := relay.Run(t.Context(), cfg)
	var unreachable *relay.UnreachableError
	require.ErrorAs(t, err, &unreachable)
	require.ErrorIs(t, err, sealed)
}

// Everything that is wrong with the schema is told at once, before anything is
// published.
func TestTheSchemaIsLookedAtBeforeTheFirstEvent(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	m := newMemory(1)
	l.exec(t, `ALTER SEQUENCE tandem.log_position CACHE 50`)
	var setup *relay.SetupError
	require.ErrorAs(t, relay.Run(t.Context(), l.config(t, m)), &setup)
	require.Contains(t, setup.Problem, "sequence tandem.log_position has CACHE 50")
	require.Contains(t, setup.Remedy, "ALTER SEQUENCE tandem.log_position CACHE 1")

	l.exec(t, `REVOKE TRUNCATE ON tandem.log_11 FROM tandem_relay`)
	l.exec(t, `DROP TABLE tandem.log_09`)
	err := relay.Run(t.Context(), l.config(t, m))
	require.ErrorAs(t, err, &setup)
	for _, part := range []string{"3 things", "CACHE 50", "log_09 is missing", "lacks TRUNCATE ON tandem.log_11", "SELECT tandem.grant_roles()"} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), "\n")
	require.Empty(t, m.all())
}
