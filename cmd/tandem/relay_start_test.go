package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// nobody is an address of this machine where nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// What is wrong at the start is one line that names it, and never a password.
func TestRelayStartRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	kafka := broker(t)
	for _, c := range []struct {
		name     string
		database func(t testing.TB) string
		mentions []string
	}{
		{"schema missing", testservers.Postgres, []string{"missing", "tandem migrate up"}},
		{"schema older", func(t testing.TB) string {
			database := testservers.Migrated(t)
			execute(t, database, `UPDATE tandem.settings SET schema_version = 1`)
			return database
		}, []string{`schema "tandem" is at version 1`, "run tandem migrate up of this program's release first"}},
		{"schema newer", func(t testing.TB) string {
			database := testservers.Migrated(t)
			execute(t, database, `UPDATE tandem.settings SET schema_version = 999, works_with = 998`)
			return database
		}, []string{"version 999", "works with programs written for version 998 or newer", "upgrade this program"}},
		{"database missing", func(t testing.TB) string {
			return withDatabase(t, testservers.Postgres(t), "nowhere")
		}, []string{"does not exist", "check the name"}},
		{"checkpoint empty", func(t testing.TB) string {
			database := testservers.Migrated(t)
			execute(t, database, `TRUNCATE tandem.checkpoint`)
			return database
		}, []string{"checkpoint is empty", "tandem rebase --schema tandem"}},
		{"several things", func(t testing.TB) string {
			database := testservers.Migrated(t)
			execute(t, database, `DROP INDEX tandem.log_tx`)
			execute(t, database, `ALTER SEQUENCE tandem.log_position CACHE 50`)
			return database
		}, []string{"2 things are wrong", "CREATE INDEX log_tx", "CACHE 50"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := tandem(t, environment(c.database(t), kafka), "relay")
			r.oneLineOf(t, append(c.mentions, "tandem relay: ")...)
		})
	}
}

func TestRelayRefusesToWaitForStandbysThatNobodyNamed(t *testing.T) {
	t.Parallel()
	r := tandem(t, environment(testservers.Migrated(t), broker(t)), "relay", "--sync-standbys")
	r.oneLineOf(t, "synchronous_standby_names is empty", "without SyncStandbys (--sync-standbys)")
}

func TestRelayStartDoesNotWaitForAWrongLogin(t *testing.T) {
	t.Parallel()
	server := testservers.OwnPostgres(t) // asks for passwords, whatever the shared one does
	kafka := broker(t)
	const password = "wr0ng-passw0rd"
	r := tandem(t, environment(withUser(t, server.URL("postgres"), "postgres", password), kafka), "relay", "--start-timeout=1h")
	r.oneLineOf(t, "refuses the login", "check user and password")
	require.NotContains(t, r.stdout+r.stderr, password)

	execute(t, server.URL("postgres"), `CREATE ROLE somebody LOGIN PASSWORD 'somebodys-word'`)
	require.Equal(t, exitDone, tandem(t, nil, "migrate", "up", "--database-url", server.URL("postgres")).code)
	r = tandem(t, environment(withUser(t, server.URL("postgres"), "somebody", "somebodys-word"), kafka), "relay")
	r.oneLineOf(t, "may not do what a relay does", "tandem_relay")
	require.NotContains(t, r.stdout+r.stderr, "somebodys-word")
}

func TestRelayStartWaitsForWhatCannotBeReached(t *testing.T) {
	t.Parallel()
	const password = "h1dden-passw0rd"
	address := nobody(t)
	r := tandem(t, environment("postgres://u:"+password+"@"+address+"/shop?sslmode=disable", broker(t)), "relay", "--start-timeout=2s")
	r.oneLineOf(t, "database", "no answer within 2s", address)
	require.Contains(t, r.stderr, "cannot reach the database yet")
	require.NotContains(t, r.stdout+r.stderr, password)

	r = tandem(t, environment(testservers.Migrated(t), address), "relay", "--start-timeout=10s") // in which the database is reached
	r.oneLineOf(t, "broker", "no answer within 10s", address)
	require.Contains(t, r.stderr, "cannot reach the broker yet")
}

func TestRelayRefusesAStandby(t *testing.T) {
	t.Parallel()
	server := testservers.OwnPostgres(t)
	data := query[string](t, server.URL("postgres"), `SHOW data_directory`)
	require.NoError(t, os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, server.Restart(ctx))
	r := tandem(t, environment(server.URL("postgres"), broker(t)), "relay")
	r.oneLineOf(t, "is a standby", "primary's address")
}

// --until-empty ends although a topic is missing: its events are set aside, with
// what to do about it, and counted.
func TestRelaySetsAsideWhatAMissingTopicWasToGet(t *testing.T) {
	t.Parallel()
	database, kafka := testservers.Migrated(t), broker(t)
	add(t, database, "absent", "1")
	r := tandem(t, environment(database, kafka, "TANDEM_TOPIC_TIMEOUT=100ms"), "relay", "--until-empty")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "set aside 1 deferred for their topics")
	reason := query[string](t, database, `SELECT reason FROM tandem.parked WHERE state = 'deferred'`)
	require.Contains(t, reason, "kafka-topics.sh --bootstrap-server "+kafka)
	require.Contains(t, reason, "--topic absent")
}

func query[T any](t *testing.T, database, statement string) (value T) {
	t.Helper()
	require.NoError(t, connect(t, database).QueryRow(t.Context(), statement).Scan(&value))
	return value
}
