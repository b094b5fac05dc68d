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
	cfg.StartTimeout = 300 * time.Millisecond
	sealed := errors.New("the vault is sealed")
	cfg.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { return sealed }
	err := relay.Run(t.Context(), cfg)
	var unreachable *relay.UnreachableError
	require.ErrorAs(t, err, &unreachable)
	require.ErrorIs(t, err, sealed)
}
