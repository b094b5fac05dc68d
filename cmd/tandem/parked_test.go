package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// ids of the events of setAside.
const (
	parkedA = "01890a5d-ac96-774b-bcce-b302099a8051" // topic orders, key a
	heldA   = "01890a5d-ac96-774b-bcce-b302099a8052" // behind it
	parkedB = "01890a5d-ac96-774b-bcce-b302099a8053" // topic bills, no key, binary
	waiting = "01890a5d-ac96-774b-bcce-b302099a8054" // for topic bills
)

// asRelay is the URL for a relay's rights alone, without a search_path.
func asRelay(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	query := u.Query()
	query.Set("role", "tandem_relay")
	query.Set("search_path", "")
	u.RawQuery = query.Encode()
	return u.String()
}

// setAside is a database with events that a relay has set aside, and the
// environment of an operator.
func setAside(t *testing.T) (database string, env []string) {
	t.Helper()
	database = testservers.Migrated(t)
	const insert = `INSERT INTO tandem.deferred (position, created_at, id, topic, key, headers, payload, state, ordered, reason, hint, attempts, parked_at) VALUES `
	execute(t, database,
		insert+`(1, now(), '`+parkedA+`', 'orders', 'a', '{"tenant": "7"}', 'hello', 'parked', true, 'message too large', 'raise max.message.bytes', 3, now())`,
		insert+`(2, now(), '`+heldA+`', 'orders', 'a', NULL, 'next', 'waiting', true, '', '', 0, NULL)`,
		insert+`(3, now(), '`+parkedB+`', 'bills', NULL, NULL, '\x00ff', 'parked', true, 'invalid record', '', 1, now())`,
		insert+`(4, now(), '`+waiting+`', 'bills', 'b', NULL, NULL, 'waiting', true, 'the topic does not exist', '', 0, NULL)`)
	return database, []string{"TANDEM_DATABASE_URL=" + asRelay(t, database)}
}

// done runs the program, which has to succeed, and returns what it printed.
func done(t *testing.T, env []string, args ...string) string {
	t.Helper()
	r := tandem(t, env, args...)
	require.Equal(t, exitDone, r.code, r.stderr)
	return r.stdout
}

// listed is the states by id of "parked list --json".
func listed(t *testing.T, env []string, args ...string) map[string]string {
	t.Helper()
	var events []struct {
		ID, State string
	}
	text := done(t, env, append([]string{"parked", "list", "--json"}, args...)...)
	require.NoError(t, json.Unmarshal([]byte(text), &events), text)
	states := map[string]string{}
	for _, e := range events {
		states[e.ID] = e.State
	}
	return states
}

func TestParkedList(t *testing.T) {
	t.Parallel()
	_, env := setAside(t)
	require.Equal(t, map[string]string{parkedA: "parked", heldA: "held", parkedB: "parked"}, listed(t, env))
	require.Len(t, listed(t, env, "--state", "all"), 4)
	require.Equal(t, map[string]string{heldA: "held", waiting: "deferred"}, listed(t, env, "--state", "held", "--state=deferred"))
	require.Len(t, listed(t, env, "--topic", "orders"), 2)
	require.Len(t, listed(t, env, "--key", "a", "--limit", "1"), 1)
	require.Equal(t, map[string]string{parkedA: "parked"}, listed(t, env, "--reason", "TOO LARGE"))
	require.Len(t, listed(t, env, "--id", parkedA+","+heldA, "--id", parkedB), 3)
	require.Equal(t, "[]\n", done(t, env, "parked", "list", "--json", "--topic", "none"))

	var events []map[string]any
	require.NoError(t, json.Unmarshal([]byte(done(t, env, "parked", "list", "--json")), &events))
	require.Equal(t, "orders", events[0]["topic"])
	require.Equal(t, "a", events[0]["key"])
	require.Equal(t, "message too large", events[0]["reason"])
	require.EqualValues(t, 3, events[0]["attempts"])
	require.Contains(t, events[0], "parked_at")
	require.Equal(t, "behind "+parkedA+", which is parked", events[1]["reason"])
	require.Nil(t, events[2]["key"])

	table := done(t, env, "parked", "list")
	require.Regexp(t, `^ID .* ATTEMPTS +SINCE +REASON\n`, table)
	require.Contains(t, table, heldA)
	require.NotContains(t, table, "hello")
	require.Equal(t, "no event that is set aside matches\n", done(t, env, "parked", "list", "--topic", "none"))
}

// What a list may hold is not bounded by what fits a screenful of columns.
func TestParkedListIsWhole(t *testing.T) {
	t.Parallel()
	database, env := setAside(t)
	execute(t, database, `INSERT INTO tandem.deferred (position, created_at, id, topic, key, state, ordered)
		SELECT 10 + n, now(), tandem.uuidv7(), 'orders', 'a', 'waiting', true FROM generate_series(1, 500) AS n`)
	require.Len(t, listed(t, env), 503)
	require.Equal(t, 504, strings.Count(done(t, env, "parked", "list"), "\n"))
}

func TestParkedShow(t *testing.T) {
	t.Parallel()
	_, env := setAside(t)
	text := done(t, env, "parked", "show", parkedA)
	for _, want := range []string{"message too large", "raise max.message.bytes", "1 events of its key", `{"tenant": "7"}`, "5 bytes, text:\nhello\n"} {
		require.Contains(t, text, want)
	}
	require.Contains(t, done(t, env, "parked", "show", "--id", heldA), parkedA)
	require.Contains(t, done(t, env, "parked", "show", parkedB), "2 bytes, base64:\nAP8=\n")
	require.Contains(t, done(t, env, "parked", "show", waiting), "a tombstone")
	require.Equal(t, "\x00\xff", done(t, env, "parked", "show", parkedB, "--raw"))

	var shown map[string]any
	require.NoError(t, json.Unmarshal([]byte(done(t, env, "parked", "show", parkedB, "--json")), &shown))
	require.Equal(t, "AP8=", shown["payload"])
	require.Equal(t, "base64", shown["payload_encoding"])
	require.NoError(t, json.Unmarshal([]byte(done(t, env, "parked", "show", parkedA, "--json")), &shown))
	require.Equal(t, "hello", shown["payload"])
	require.Equal(t, map[string]any{"tenant": "7"}, shown["headers"])

	tandem(t, env, "parked", "show", "00000000-0000-0000-0000-000000000001").oneLineOf(t, "no event", "tandem parked list")
	for _, args := range [][]string{{"parked", "show"}, {"parked", "show", "x"}, {"parked", "show", parkedA, parkedB}, {"parked", "show", parkedA, "--raw", "--json"}} {
		require.Equal(t, exitUsage, tandem(t, env, args...).code, args)
	}
}

func TestParkedRedrive(t *testing.T) {
	t.Parallel()
	database, env := setAside(t)
	require.Equal(t, "dry run: 2 parked events would be sent again; 1 that match are held\n", done(t, env, "parked", "redrive", "--dry-run"))
	r := tandem(t, env, "parked", "redrive")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--yes")
	tandem(t, env, "parked", "redrive", "--yes", heldA).oneLineOf(t, parkedA, "redrive those")
	tandem(t, env, "parked", "redrive", "--yes", "--topic", "none").oneLineOf(t, "tandem parked list")

	r = tandem(t, env, "parked", "redrive", "--yes", "--topic", "orders", "--by", "alice")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Equal(t, "request 1: 1 parked events are to be sent again\nno relay is working: the request stays, and is carried out when one is started\n", r.stdout)
	var request map[string]any
	require.NoError(t, json.Unmarshal([]byte(done(t, env, "parked", "redrive", "--yes", "--json")), &request))
	require.EqualValues(t, 2, request["request"])
	require.EqualValues(t, 1, request["total"])
	require.Contains(t, done(t, env, "parked", "redrive", "--yes"), "being sent again already")
	r = tandem(t, env, "parked", "redrive", "--yes", "--wait", "--wait-timeout", "300ms", "--topic", "bills")
	r.oneLineOf(t, "being sent again already")

	var by string
	require.NoError(t, connect(t, database).QueryRow(t.Context(), `SELECT by FROM tandem.request WHERE request = 1`).Scan(&by))
	require.Equal(t, "alice", by)
}

// --wait ends with what became of the request, or with its time.
func TestParkedRedriveWaits(t *testing.T) {
	t.Parallel()
	database, env := setAside(t)
	r := tandem(t, env, "parked", "redrive", "--yes", "--topic", "orders", "--wait", "--wait-timeout", "3s")
	r.oneLineOf(t, "stopped waiting for request 1 after 0 of 1 events", "goes on")
	execute(t, database, `UPDATE tandem.deferred SET redrive = NULL`,
		`CREATE FUNCTION tandem.finish() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN NEW.finished_at := clock_timestamp(); NEW.done := NEW.total - 1; NEW.failed := 1; RETURN NEW; END $$`,
		`CREATE TRIGGER finish BEFORE INSERT ON tandem.request FOR EACH ROW EXECUTE FUNCTION tandem.finish()`)
	tandem(t, env, "parked", "redrive", "--yes", "--wait").oneLineOf(t, "1 of 2 events sent, 1 refused again")
}

func TestParkedDiscard(t *testing.T) {
	t.Parallel()
	database, env := setAside(t)
	r := tandem(t, env, "parked", "discard", "--yes")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--all")
	require.Equal(t, exitUsage, tandem(t, env, "parked", "discard", parkedA).code)
	require.Equal(t, "dry run: 1 parked events would be discarded\n", done(t, env, "parked", "discard", "--dry-run", parkedA))
	tandem(t, env, "parked", "discard", "--yes", heldA).oneLineOf(t, parkedA, "--held")
	require.Len(t, listed(t, env), 3)

	require.Contains(t, done(t, env, "parked", "discard", "--yes", "--topic", "orders", "--held", "--by", "alice", "--why", "ticket 7"),
		"1 parked and 1 held events are discarded")
	require.Equal(t, map[string]string{parkedB: "parked"}, listed(t, env))
	tandem(t, env, "parked", "show", parkedA).oneLineOf(t, "discarded by alice", "ticket 7")
	require.Contains(t, done(t, env, "parked", "discard", "--yes", "--all"), "1 parked events are discarded")
	require.Contains(t, done(t, env, "parked", "discard", "--yes", "--all"), "nothing to do")
	require.Equal(t, "[]\n", done(t, env, "parked", "list", "--json"))
	var kinds int
	require.NoError(t, connect(t, database).QueryRow(t.Context(), `SELECT count(*) FROM tandem.dropped WHERE kind = 'discarded'`).Scan(&kinds))
	require.Equal(t, 3, kinds)
}

func TestParkedBadInput(t *testing.T) {
	t.Parallel()
	r := tandem(t, nil, "parked", "list", "--id", "7", "--state", "lost", "--limit", "-1", "--database-url", "postgres://localhost/none")
	require.Equal(t, exitUsage, r.code)
	for _, want := range []string{"3 problems", `--id "7"`, `--state "lost"`, "deferred", `--limit "-1"`} {
		require.Contains(t, r.stderr, want)
	}
	require.Equal(t, exitUsage, tandem(t, nil, "parked").code)
	// A schema without Tandem in it.
	database := testservers.Migrated(t)
	tandem(t, nil, "parked", "list", "--schema", "elsewhere", "--database-url", database).oneLineOf(t, "tandem migrate up")
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a b \uFFFD[31m", printable("a\n\tb \x1b[31m", 40))
	require.Equal(t, "äö…", printable("äöüß", 3))
	text, encoding := asText(bytes.Repeat([]byte("é\n"), 2))
	require.Equal(t, "é\né\n text", text+" "+encoding)
}
