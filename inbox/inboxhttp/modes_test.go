package inboxhttp_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/migrations"
)

// Poolers that share sessions by transaction want other ways of sending a
// statement than pgx's own choice.
func TestEveryWayOfSendingAStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		config, err := pgxpool.ParseConfig(testinbox.AsConsumer(t, w.url))
		require.NoError(t, err)
		config.ConnConfig.DefaultQueryExecMode = mode
		pool, err := pgxpool.NewWithConfig(context.Background(), config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		m, err := inboxhttp.New(w.config, pool)
		require.NoError(t, err)
		url := w.serveHandler(m.Handle(pay))
		key := mode.String()
		require.Equal(t, http.StatusCreated, w.post(url, `"`+key+`"`, key).status, key)
		require.True(t, w.post(url, `"`+key+`"`, key).replayed, key)
		require.Equal(t, http.StatusUnprocessableEntity, w.post(url, `"`+key+`"`, "other").status, key)
	}
	require.Len(t, w.effects(), 5)
	require.Empty(t, w.logs.String())
}

func TestASchemaOfAnotherName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config, err := pgx.ParseConfig(w.url)
	require.NoError(t, err)
	m, err := migrations.Open(config, "billing_messages")
	require.NoError(t, err)
	defer m.Close()
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	w.config.Schema = "billing_messages"
	url := w.serve(pay)
	require.False(t, w.post(url, "k", "10 EUR").replayed)
	require.True(t, w.post(url, "k", "10 EUR").replayed)
	require.Zero(t, w.kept())
	require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(*) FROM billing_messages.inbox_answer`))
}
