package main

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// asConsumer is the URL for a consumer's rights alone, without a search_path.
func asConsumer(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	query := u.Query()
	query.Set("role", "tandem_consumer")
	query.Set("search_path", "")
	u.RawQuery = query.Encode()
	return u.String()
}

// setMessagesAside is a database with messages that consumers have set aside, and
// the environment of an operator: of consumer billing 1, parked, with 2 held behind
// it; 3, retrying; 4, parked, without an id, and binary. And 5 of consumer mail, with
// the id of 1.
func setMessagesAside(t *testing.T) (database string, env []string) {
	t.Helper()
	database = testservers.Migrated(t)
	const insert = `INSERT INTO tandem.inbox_aside (consumer, topic, partition, position, message_id, key, lane, scope, state, reason, error, hint,
		attempts, stored_at, tried_at, parked_at, due_at, type, sent_at, header_names, header_values, value, digest, stack) VALUES `
	const at = `timestamptz '2026-01-02 03:04:05Z'`
	execute(t, database,
		`SELECT tandem.claim_inbox_partition(consumer, 'orders', partition, 'host/1') FROM (VALUES ('billing', 0), ('billing', 1), ('mail', 0)) AS p (consumer, partition)`,
		`UPDATE tandem.inbox_partition SET seen_at = clock_timestamp() + interval '1 hour'`, // however slow the test is
		insert+`('billing', 'orders', 0, 10, 'm1', 'a', 'a', 'key', 'parked', 'handler', 'no such account', 'open it', 10, `+at+`, `+at+`, `+at+`, NULL, 'order.placed', `+at+`, '{tenant,odd}', '{7,"\\x00ff"}', '{"total": 7}', 'x', '')`,
		insert+`('billing', 'orders', 0, 11, 'm2', 'a', 'a', 'key', 'held', '', '', '', 0, `+at+`, NULL, NULL, NULL, 'order.placed', `+at+`, '{}', '{}', 'next', 'x', '')`,
		insert+`('billing', 'orders', 0, 12, 'm3,m4', 'b', 'b', 'key', 'retrying', 'panic', 'index out of range', '', 2, `+at+`, `+at+`, NULL, `+at+` + interval '1 minute', '', `+at+`, '{}', '{}', 'again', 'x', E'main.go:1\nmain.go:2')`,
		insert+`('billing', 'orders', 1, 7, '', '\x00ff', 'c', 'none', 'parked', 'missing id', 'it has no ce_id', '', 0, `+at+`, NULL, `+at+`, NULL, '', `+at+`, '{}', '{}', '\x00ff', 'x', '')`,
		insert+`('mail', 'orders', 0, 10, 'm1', 'a', '', 'partition', 'parked', 'handler', 'connection refused', '', 10, `+at+`, `+at+`, `+at+`, NULL, 'order.placed', `+at+`, '{}', '{}', NULL, 'x', '')`)
	return database, []string{"TANDEM_DATABASE_URL=" + asConsumer(t, database)}
}

// asideListed is the states by number of "inbox parked list --json".
func asideListed(t *testing.T, env []string, args ...string) map[int]string {
	t.Helper()
	var messages []struct {
		Aside int
		State string
	}
	text := done(t, env, append([]string{"inbox", "parked", "list", "--json"}, args...)...)
	require.NoError(t, json.Unmarshal([]byte(text), &messages), text)
	states := map[int]string{}
	for _, m := range messages {
		states[m.Aside] = m.State
	}
	return states
}

// golden compares with a file, named from testdata, which -update rewrites.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := "testdata/" + file
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./cmd/tandem -run %s -update", t.Name())
}

func TestInboxParkedList(t *testing.T) {
	t.Parallel()
	_, env := setMessagesAside(t)
	require.Equal(t, map[int]string{1: "parked", 2: "held", 3: "retrying", 4: "parked", 5: "parked"}, asideListed(t, env))
	require.Equal(t, map[int]string{1: "parked", 5: "parked"}, asideListed(t, env, "--id", "m1"))
	require.Len(t, asideListed(t, env, "--id", "m1", "--consumer", "mail"), 1)
	require.Len(t, asideListed(t, env, "--id", "m1", "--id", "m3,m4"), 3) // an id may have a comma
	require.Len(t, asideListed(t, env, "--state", "held,retrying"), 2)
	require.Len(t, asideListed(t, env, "--state", "all", "--limit", "4"), 4)
	require.Len(t, asideListed(t, env, "--topic", "orders", "--partition", "0", "--offset", "10"), 2)
	require.Len(t, asideListed(t, env, "--key", "a"), 3)
	require.Len(t, asideListed(t, env, "--reason", "NO SUCH"), 1)
	require.Len(t, asideListed(t, env, "--aside", "1,2", "--aside", "5"), 3)
	require.Equal(t, "[]\n", done(t, env, "inbox", "parked", "list", "--json", "--topic", "none"))
	require.Equal(t, "no message that is set aside matches\n", done(t, env, "inbox", "parked", "list", "--topic", "none"))
	golden(t, "inbox_list.json", done(t, env, "inbox", "parked", "list", "--json"))
	golden(t, "inbox_list.txt", done(t, env, "inbox", "parked", "list"))
}

func TestInboxParkedShow(t *testing.T) {
	t.Parallel()
	database, env := setMessagesAside(t)
	golden(t, "inbox_show.txt", done(t, env, "inbox", "parked", "show", "m1", "--consumer", "billing")+
		"\n"+done(t, env, "inbox", "parked", "show", "m3,m4")+"\n"+done(t, env, "inbox", "parked", "show", "--aside", "5"))
	golden(t, "inbox_show.json", done(t, env, "inbox", "parked", "show", "--aside", "1", "--json")+done(t, env, "inbox", "parked", "show", "--aside", "4", "--json"))
	require.Contains(t, done(t, env, "inbox", "parked", "show", "--aside", "4"), "2 bytes, base64:\nAP8=\n")
	require.Equal(t, "\x00\xff", done(t, env, "inbox", "parked", "show", "--partition", "1", "--offset", "7", "--raw"))

	long := strings.Repeat("ä", 3000)
	execute(t, database, `UPDATE tandem.inbox_aside SET value = convert_to(repeat('ä', 3000), 'UTF8') WHERE aside = 2`)
	text := done(t, env, "inbox", "parked", "show", "m2")
	require.Contains(t, text, "value  6000 bytes, text, the first 4096 of them (--full has all):\nää")
	require.NotContains(t, text, long)
	require.Contains(t, done(t, env, "inbox", "parked", "show", "m2", "--full"), "6000 bytes, text:\n"+long+"\n")
	require.Contains(t, done(t, env, "inbox", "parked", "show", "m2", "--json"), long)

	tandem(t, env, "inbox", "parked", "show", "m1").oneLineOf(t, "more than one message matches: 1 (consumer billing", "5 (consumer mail", "--aside")
	tandem(t, env, "inbox", "parked", "show", "m9").oneLineOf(t, "no message that is set aside matches", "tandem inbox parked list")
	tandem(t, env, "inbox", "parked", "show", "1").oneLineOf(t, "no message that is set aside matches", "--aside 1")
	for _, args := range [][]string{{}, {"--aside", "x"}, {"m1", "--raw", "--json"}, {"--offset", "-1"}, {"--id", ""}} {
		require.Equal(t, exitUsage, tandem(t, env, append([]string{"inbox", "parked", "show"}, args...)...).code, args)
	}
}

func TestInboxParkedRedrive(t *testing.T) {
	t.Parallel()
	database, env := setMessagesAside(t)
	redrive := func(args ...string) []string { return append([]string{"inbox", "parked", "redrive"}, args...) }
	require.Equal(t, "dry run: 3 parked and 1 retrying messages would be handled again; 1 that match are held\n", done(t, env, redrive("--dry-run")...))
	r := tandem(t, env, redrive()...)
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--yes")
	tandem(t, env, redrive("--yes", "m2")...).oneLineOf(t, "behind 1", "redrive those")
	tandem(t, env, redrive("--yes", "m9")...).oneLineOf(t, "tandem inbox parked list")
	r = tandem(t, env, redrive("--yes", "--key", "")...)
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--key is empty")

	execute(t, database, `UPDATE tandem.inbox_partition SET seen_at = clock_timestamp() - interval '1 hour' WHERE consumer = 'mail'`)
	require.Equal(t, "1 messages are to be handled again\n", done(t, env, redrive("--yes", "--consumer", "billing", "--id", "m1", "--by", "alice")...))
	text := done(t, env, redrive("--yes", "--consumer", "mail")...)
	require.Regexp(t, `^1 messages are to be handled again\nnobody consumes orders/0 for mail: host/1 was last seen 1h\S+ ago: the request stays, `, text)
	tandem(t, env, redrive("--yes", "--consumer", "billing", "--reason", "panic", "--wait", "--wait-timeout", "100ms")...).
		oneLineOf(t, "stopped waiting after 0 of 1 messages, 0 failed: the consumers go on with 1")
	var asked struct{ Total, Waiting int }
	require.NoError(t, json.Unmarshal([]byte(done(t, env, redrive("--yes", "--json")...)), &asked))
	require.Equal(t, struct{ Total, Waiting int }{1, 1}, asked)
	require.Contains(t, done(t, env, redrive("--yes")...), "being handled again already (4 messages)")
	require.Equal(t, "dry run: 0 parked and 0 retrying messages would be handled again; 1 that match are held; 4 are being handled again already\n", done(t, env, redrive("--dry-run")...))
	var by string
	require.NoError(t, connect(t, database).QueryRow(t.Context(), `SELECT redrive_by FROM tandem.inbox_aside WHERE aside = 1`).Scan(&by))
	require.Equal(t, "alice", by)
}

// --wait ends with what became of the messages: a trigger handles them at once.
func TestInboxParkedRedriveWaits(t *testing.T) {
	t.Parallel()
	database, env := setMessagesAside(t)
	execute(t, database, `CREATE FUNCTION tandem.fail() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN NEW.redrive := false; NEW.error := E'still\nno such account'; RETURN NEW; END $$`,
		`CREATE TRIGGER fail BEFORE UPDATE ON tandem.inbox_aside FOR EACH ROW WHEN (NEW.message_id = 'm1') EXECUTE FUNCTION tandem.fail()`,
		`CREATE FUNCTION tandem.handle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
			BEGIN DELETE FROM tandem.inbox_aside WHERE aside = NEW.aside; RETURN NULL; END $$`,
		`CREATE TRIGGER handle AFTER UPDATE ON tandem.inbox_aside FOR EACH ROW WHEN (NEW.redrive) EXECUTE FUNCTION tandem.handle()`)
	tandem(t, env, "inbox", "parked", "redrive", "--yes", "--wait", "--consumer", "billing").
		oneLineOf(t, "2 of 3 messages handled, 1 failed again, among them 1 (consumer billing, orders/0 offset 10, id \"m1\"): still no such account", "tandem inbox parked list")
	execute(t, database, `DROP TRIGGER fail ON tandem.inbox_aside`)
	require.Equal(t, "2 messages are to be handled again\ndone, 2 of 2 messages handled\n", done(t, env, "inbox", "parked", "redrive", "--yes", "--wait", "--wait-timeout", "30s"))
	require.Equal(t, map[int]string{2: "held"}, asideListed(t, env))
}

func TestInboxParkedDiscard(t *testing.T) {
	t.Parallel()
	database, env := setMessagesAside(t)
	discard := func(args ...string) []string { return append([]string{"inbox", "parked", "discard"}, args...) }
	r := tandem(t, env, discard("--yes")...)
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--all")
	require.Equal(t, exitUsage, tandem(t, env, discard("m1")...).code)
	require.Equal(t, "dry run: 1 parked and 0 retrying messages would be discarded\n", done(t, env, discard("--dry-run", "m1", "--consumer", "billing")...))
	tandem(t, env, discard("--yes", "m2")...).oneLineOf(t, "behind 1", "--held")
	require.Len(t, asideListed(t, env), 5)

	require.Equal(t, "1 parked and 1 held messages are discarded; what they held goes on\n",
		done(t, env, discard("--yes", "--key", "a", "--consumer", "billing", "--held", "--by", "alice", "--why", "ticket 7")...))
	require.Equal(t, map[int]string{3: "retrying", 4: "parked", 5: "parked"}, asideListed(t, env))
	tandem(t, env, "inbox", "parked", "show", "m2").oneLineOf(t, "it was discarded", "by alice: ticket 7")
	require.Contains(t, done(t, env, discard("--yes", "--state", "parked")...), "2 parked messages are discarded")
	require.JSONEq(t, `{"parked": 1, "held": 0}`, done(t, env, discard("--yes", "--all", "--json")...))
	require.Contains(t, done(t, env, discard("--yes", "--all")...), "nothing to do")
	var kinds int
	require.NoError(t, connect(t, database).QueryRow(t.Context(), `SELECT count(*) FROM tandem.inbox_dropped WHERE kind = 'discarded'`).Scan(&kinds))
	require.Equal(t, 5, kinds)
}

func TestInboxBadInput(t *testing.T) {
	t.Parallel()
	r := tandem(t, nil, "inbox", "parked", "list", "--partition", "x", "--offset", "-1", "--state", "lost", "--aside", "a", "--database-url", "postgres://localhost/none")
	require.Equal(t, exitUsage, r.code)
	for _, want := range []string{"4 problems", `--partition "x"`, `--offset "-1"`, `--state "lost"`, "retrying", `--aside "a"`} {
		require.Contains(t, r.stderr, want)
	}
	for _, args := range [][]string{{"inbox"}, {"inbox", "parked"}, {"inbox", "parked", "lost"}} {
		require.Equal(t, exitUsage, tandem(t, nil, args...).code)
	}
	database := testservers.Migrated(t)
	for _, args := range [][]string{{"parked", "list"}, {"status"}, {"maintain"}} {
		args = append([]string{"inbox"}, args...)
		tandem(t, nil, append(args, "--schema", "elsewhere", "--database-url", database)...).oneLineOf(t, "tandem migrate up")
		tandem(t, nil, append(args, "--database-url", withRole(t, database, "pg_monitor"))...).oneLineOf(t, "GRANT tandem_consumer")
	}
}
