package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// nobodyPublishes is for relays that never run.
type nobodyPublishes struct{ relay.Publisher }

func idleDatabase(t *testing.T) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig("postgres://nobody@localhost/nothing")
	require.NoError(t, err)
	return config
}

func asked(t *testing.T, r observed, path string) (int, map[string]any) {
	t.Helper()
	recorder := httptest.NewRecorder()
	healthHandler(context.Background(), r, http.NotFoundHandler()).ServeHTTP(recorder, httptest.NewRequest("GET", path, nil))
	require.Equal(t, "application/json", recorder.Header().Get("Content-Type"))
	var told map[string]any
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &told))
	return recorder.Code, told
}

func TestTheDetailOfHealth(t *testing.T) {
	t.Parallel()
	code, told := asked(t, busy{relay.Relaying}, "/statusz")
	require.Equal(t, 200, code)
	require.Equal(t, "relaying", told["state"])
	require.Equal(t, true, told["ready"])
	require.EqualValues(t, 7, told["epoch"])
	require.Equal(t, []any{"the log takes 5000 bytes"}, told["warnings"])
	require.EqualValues(t, 100, told["backlog"].(map[string]any)["events"])
	trouble := told["topics_in_trouble"].([]any)
	require.Len(t, trouble, 1)
	require.Equal(t, "it does not exist", trouble[0].(map[string]any)["trouble"])

	code, told = asked(t, busy{relay.Interrupted}, "/readyz?verbose")
	require.Equal(t, 503, code)
	require.Equal(t, false, told["ready"])
	code, told = asked(t, busy{relay.Interrupted}, "/statusz")
	require.Equal(t, 200, code, "statusz answers whatever it has to say")
	require.Equal(t, "interrupted", told["state"])
	code, told = asked(t, busy{relay.Standby}, "/readyz?verbose")
	require.Equal(t, 200, code)
	require.Equal(t, "standby", told["state"])
}
