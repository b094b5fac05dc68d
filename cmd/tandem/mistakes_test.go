package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// Each command that talks to the database says the same of the same mistake: what is
// wrong, where, and what to do.
func TestEveryCommandSaysWhatIsWrongWithTheDatabase(t *testing.T) {
	t.Parallel()
	server := testservers.OwnPostgres(t) // for a role of its own
	database := server.URL("postgres")
	require.Equal(t, exitDone, tandem(t, nil, "migrate", "up", "--database-url", database).code)
	execute(t, database, `CREATE DATABASE empty`, `CREATE ROLE somebody LOGIN PASSWORD 'somebodys-word'`, `GRANT ALL ON DATABASE empty TO somebody`)
	kafka := broker(t)
	refused := nobody(t)
	place, err := url.Parse(database)
	require.NoError(t, err)

	type mistake struct {
		address string
		want    []string
		not     string // a command to which it is none
	}
	mistakes := map[string]mistake{
		"nobody listens":   {"postgres://u:hidden-word@" + refused + "/shop", []string{refused, "connection refused", "check the address in --database-url", "PostgreSQL is running there"}, ""},
		"wrong password":   {withUser(t, database, "postgres", "hidden-word"), []string{"user and password", "database"}, ""},
		"no such database": {withDatabase(t, database, "nowhere"), []string{`"nowhere" does not exist`, "check "}, ""},
		"no schema":        {server.URL("empty"), []string{"tandem migrate up"}, "migrate status"},
		"no rights":        {withUser(t, database, "somebody", "somebodys-word"), []string{"permission denied", "schema"}, ""},
	}
	for _, command := range []string{
		"migrate status", "relay --start-timeout 1s", "status", "parked list", "parked redrive --yes", "parked discard --all --yes",
		"replay --dry-run", "rebase --dry-run", "inbox status", "inbox maintain", "inbox parked list", "inbox parked redrive --yes",
	} {
		for name, m := range mistakes {
			if command == m.not {
				continue
			}
			t.Run(command+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := tandem(t, environment(m.address, kafka), strings.Fields(command)...)
				r.oneLineOf(t, m.want...)
				require.NotContains(t, r.stdout+r.stderr, "hidden-word")
				if name != "nobody listens" && !strings.HasPrefix(command, "relay") && !strings.HasPrefix(command, "rebase") {
					require.Contains(t, r.stderr, place.Host, "where")
				}
				if name == "no rights" {
					require.Regexp(t, `role tandem_|owner of the schema`, r.stderr)
				}
			})
		}
	}
}

// What is wrong with the file is said of the file alone: what seems to be missing may
// stand in it.
func TestAFileThatCannotBeReadIsTheOneProblem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string
		want []string
	}{
		"missing":       {"/nowhere/tandem.yaml", []string{"no such file", "/nowhere/tandem.yaml"}},
		"a directory":   {t.TempDir(), []string{"is a directory"}},
		"indented":      {file(t, "lease: 5s\n  kafka-brokers: a:1\n"), []string{"line 2", "without spaces before it"}},
		"a tab":         {file(t, "\tlease: 5s\n"), []string{"cannot start any token", "without spaces before it"}},
		"twice":         {file(t, "lease: 5s\nlease: 6s\n"), []string{`"lease" already defined at line 1`}},
		"no settings":   {file(t, "just text\n"), []string{"line 1", "just text"}},
		"a list":        {file(t, "- lease: 5s\n"), []string{"line 1"}},
		"far too large": {file(t, "#"+strings.Repeat("x", mostFile)), []string{"more than 1048576 bytes"}},
	} {
		r := tandem(t, nil, "relay", "--config", c.path)
		require.Equal(t, exitUsage, r.code, name)
		lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
		require.Len(t, lines, 2, "%s: %s", name, r.stderr)
		for _, want := range append(c.want, c.path, "tandem config sample", "tandem relay: the file of --config") {
			require.Contains(t, lines[0], want, name)
		}
		require.NotContains(t, lines[0], "Config", "viper's words")
	}
}

func TestOtherMistakesOfTheFirstHour(t *testing.T) {
	t.Parallel()
	database, kafka := testservers.Migrated(t), broker(t)
	for _, c := range []struct {
		env  []string
		args string
		code int
		want []string
	}{
		{nil, "relay", exitUsage, []string{"--database-url is missing: set it, or TANDEM_DATABASE_URL; for example postgres://", "--kafka-brokers is missing"}},
		{nil, "rely", exitUsage, []string{`unknown command "rely"`, "relay", "See tandem --help."}},
		{nil, "relay --databse-url x", exitUsage, []string{"did you mean --database-url?", "See tandem relay --help."}},
		{nil, "parked lst", exitUsage, []string{"did you mean list?"}},
		{nil, "relay --lease", exitUsage, []string{"needs an argument: --lease"}},
		{nil, "relay --config=", exitUsage, []string{"--config is empty", "or leave it out"}},
		{nil, "config check --config " + file(t, "kafka:\n  brokers: a:1\n"), exitUsage, []string{`"kafka.brokers" is no setting of tandem; did you mean kafka-brokers?`}},
		{nil, "config check --config " + file(t, "lease: [1s, 2s]\ndatabase-url: postgres://h/d\nkafka-brokers: h\n"), exitUsage, []string{`: lease "1s,2s": it is no duration`, "example 5s\nSee"}},
		{[]string{"TANDEM_DATABASE_UR=x"}, "status", exitUsage, []string{"TANDEM_DATABASE_UR is no setting of tandem; did you mean TANDEM_DATABASE_URL?"}},
		{environment(database, kafka), "relay --http-addr " + kafka, exitFailed, []string{"address already in use", "give --http-addr another address"}},
		{environment(database, "no.such.host.invalid"), "relay --start-timeout 1s", exitFailed, []string{"no.such.host.invalid:9092", "no answer within 1s", "look at the address"}},
		{environment("postgres://no.such.host.invalid/x", kafka), "relay --start-timeout 1s", exitFailed, []string{"no.such.host.invalid", "--database-url", "--start-timeout"}},
		{environment(database, kafka), "parked redrive", exitUsage, []string{"no terminal", "--dry-run", "--yes"}},
		{environment(database, kafka), "parked show 01890a5d-ac96-774b-bcce-b302099a8057", exitFailed, []string{"no event 01890a5d", "tandem parked list --state all"}},
		{environment(database, kafka), "replay --yes", exitFailed, []string{"no published event", "--keep-leaves"}},
		{nil, "init --dir /dev/null", exitFailed, []string{"/dev/null", "not a directory", "--dir"}},
		{nil, "init --stack cobol", exitUsage, []string{"go-pgx or go-sql", "python"}},
	} {
		r := tandem(t, c.env, strings.Fields(c.args)...)
		require.Equal(t, c.code, r.code, "%s: %s", c.args, r.stderr)
		for _, want := range c.want {
			require.Contains(t, r.stderr, want, c.args)
		}
	}
}

// An error comes from a driver in many lines, often the same one for each address.
func TestOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a":                     "a",
		"failed:\n\tx\n\tx; do": "failed: x; do",
		"a\n\n b  c\n":          "a, b c",
		"x\ny\nx":               "x, y, x",
	} {
		require.Equal(t, want, oneLine(fmt.Errorf("%s", text)))
	}
}
