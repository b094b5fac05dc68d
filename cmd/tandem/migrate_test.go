package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMigrateUpStatusDown(t *testing.T) {
	t.Parallel()
	env := []string{"TANDEM_DATABASE_URL=" + testservers.Postgres(t), "TANDEM_SCHEMA=events"}

	r := tandem(t, env, "migrate", "up")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "applied 00001_settings.sql\n")
	require.Contains(t, r.stdout, "_roles.sql\n")
	require.NotContains(t, r.stdout, "notice")

	r = tandem(t, env, "migrate", "up")
	require.Equal(t, "schema events is up to date\n", r.stdout)

	r = tandem(t, env, "migrate", "status", "--json")
	require.Equal(t, exitDone, r.code, r.stderr)
	var steps []struct {
		Version   int
		File      string
		Applied   bool
		AppliedAt *string `json:"applied_at"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &steps))
	newest := len(steps)
	require.Positive(t, newest)
	require.Equal(t, newest, steps[newest-1].Version)
	require.True(t, steps[0].Applied)
	require.NotNil(t, steps[0].AppliedAt)

	r = tandem(t, env, "migrate", "down", "--to", "4")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "took back 00005_inbox.sql\n")
	require.NotContains(t, r.stdout, "00004")

	r = tandem(t, env, "migrate", "status")
	require.Regexp(t, `(?m)^4 +00004_write.sql +20\S+Z$`, r.stdout)
	require.Regexp(t, `(?m)^5 +00005_inbox.sql +no$`, r.stdout)

	r = tandem(t, env, "migrate", "down")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "took back 00001_settings.sql\n")

	r = tandem(t, env, "migrate", "down")
	require.Equal(t, "schema events has nothing to take back\n", r.stdout)
}

func TestMigrateDownRefusesToDropWhatWasNotPublished(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	add(t, database, "orders", "1")
	r := tandem(t, nil, "migrate", "down", "--database-url", database)
	r.oneLineOf(t, "tandem migrate down: ", "not published", "TD002", "--until-empty")
	require.Empty(t, r.stdout)
}

func TestMigratePrintNeedsNoDatabase(t *testing.T) {
	t.Parallel()
	r := tandem(t, nil, "migrate", "print", "--schema", "events")
	require.Equal(t, exitDone, r.code)
	require.Contains(t, r.stdout, `CREATE TABLE "events".log`)
	database := testservers.Postgres(t)
	execute(t, database, r.stdout)
	r = tandem(t, nil, "migrate", "up", "--schema", "events", "--database-url", database)
	require.Equal(t, "schema events is up to date\n", r.stdout, r.stderr)
}

// A login that may not create roles is told the statements for one who may.
func TestMigrateUpPrintsTheStatementsForRoles(t *testing.T) {
	t.Parallel()
	server := testservers.OwnPostgres(t)
	execute(t, server.URL("postgres"), `CREATE ROLE owner LOGIN PASSWORD 'secret'`, `CREATE DATABASE shop OWNER owner`)
	r := tandem(t, nil, "migrate", "up", "--database-url", withUser(t, server.URL("shop"), "owner", "secret"))
	require.Equal(t, exitDone, r.code, r.stderr)
	for _, role := range []string{"tandem_writer", "tandem_relay", "tandem_consumer"} {
		require.Contains(t, r.stdout, fmt.Sprintf("CREATE ROLE %s NOLOGIN", role))
	}
	require.Contains(t, r.stdout, "tandem.grant_roles()")
}

func TestMigrateSaysWhatIsWrongWithTheDatabase(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	const password = "wr0ng-passw0rd"
	r := tandem(t, nil, "migrate", "up", "--database-url", "postgres://u:"+password+"@127.0.0.1:1/shop?sslmode=disable")
	r.oneLineOf(t, `database "shop" at 127.0.0.1:1`, "check the address")
	require.NotContains(t, r.stderr, password)

	r = tandem(t, nil, "migrate", "up", "--database-url", withDatabase(t, database, "nowhere"))
	r.oneLineOf(t, `database "nowhere"`, "create the database")
}
