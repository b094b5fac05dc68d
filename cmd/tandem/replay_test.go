package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestReplayCommand(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	env := []string{"TANDEM_DATABASE_URL=" + asRelay(t, database)}
	tandem(t, env, "replay", "--yes").oneLineOf(t, "no published event is in the log any more", "--keep-leaves")
	add(t, database, "orders", "1", "2", "3")
	add(t, database, "bills", "4")
	execute(t, database, `INSERT INTO tandem.checkpoint (prev) VALUES (pg_current_snapshot())`)

	require.Contains(t, done(t, env, "replay", "--dry-run"), "dry run: 4 events would be published again; the log has published ones from position 1 (20")
	require.Contains(t, done(t, env, "replay", "--dry-run", "--topic", "orders", "--key", "k", "--type", "orders", "--from", "1h", "--to-position", "2"), "dry run: 2 events")
	var found map[string]any
	require.NoError(t, json.Unmarshal([]byte(done(t, env, "replay", "--dry-run", "--json", "--to", time.Now().Add(-time.Hour).Format(time.RFC3339))), &found))
	require.EqualValues(t, 0, found["events"])
	require.EqualValues(t, 1, found["kept_from"])

	require.Equal(t, exitUsage, tandem(t, env, "replay").code)
	tandem(t, env, "replay", "--yes", "--topic", "none").oneLineOf(t, "from position 1")
	r := tandem(t, env, "replay", "--yes", "--rate", "7", "--from-position", "2")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "request 1: 3 events are to be published again\nno relay is working")
	var arguments string
	require.NoError(t, connect(t, database).QueryRow(t.Context(), `SELECT arguments FROM tandem.request`).Scan(&arguments))
	require.JSONEq(t, `{"rate": 7, "from_position": 2, "to_position": 4}`, arguments)
}

func TestReplayBadInput(t *testing.T) {
	t.Parallel()
	env := []string{"TANDEM_DATABASE_URL=postgres://localhost/none"}
	r := tandem(t, env, "replay", "--from", "yesterday", "--rate", "0", "--to-position", "0")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "3 problems")
	r = tandem(t, env, "replay", "--from", "1h", "--to", "2h", "--from-position", "2", "--to-position", "1")
	require.Equal(t, exitUsage, r.code)
	require.Equal(t, 2, strings.Count(r.stderr, "--from"), r.stderr)
	require.Contains(t, r.stderr, "2 problems")
}
