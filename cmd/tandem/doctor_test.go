package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay/admin"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// diagnosis is what tandem doctor --json has. The tests' server may be set to be
// fast rather than safe, which is not what is looked for here.
func diagnosis(t *testing.T, env []string) (code int, found []admin.Finding) {
	t.Helper()
	r := tandem(t, env, "doctor", "--json")
	var told struct {
		Errors   int
		Findings []admin.Finding
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &told), r.stderr)
	require.Equal(t, told.Errors > 0, r.code == exitFailed)
	for _, f := range told.Findings {
		require.NotEmpty(t, f.Code, f.Problem)
		if f.Remedy != "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()" && f.Remedy != "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()" {
			found = append(found, f)
		}
	}
	return r.code, found
}

func TestDoctorOfALiveSystem(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	env := environment(database, broker(t))
	_, found := diagnosis(t, env)
	require.Len(t, found, 1)
	require.Equal(t, "no relay has ever worked here", found[0].Problem)

	start(t, env, "relay").stderr.await(t, "msg=relaying")
	start(t, env, "relay").stderr.await(t, "standing by")
	require.Eventually(t, func() bool { // the rows of both
		_, found = diagnosis(t, env)
		return len(found) == 0
	}, 30*time.Second, 100*time.Millisecond, "%v", found)

	execute(t, database, `INSERT INTO tandem.deferred (position, created_at, id, topic, state, ordered, parked_at) VALUES (1, now(), gen_random_uuid(), 'nothing', 'parked', true, now())`)
	r := tandem(t, env, "doctor")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.stdout, "error    1 events are parked, and 0 held behind them\n         why: ")
	require.Contains(t, r.stdout, "tandem parked list")
	require.Contains(t, r.stdout, "\n         see: docs/operating.md#parked\n")
	require.Contains(t, r.stdout, `topic "nothing"`, "which does not exist")
}

func TestDoctorWhereNothingAnswers(t *testing.T) {
	t.Parallel()
	code, found := diagnosis(t, environment("postgres://x:secret-word@"+nobody(t)+"/x", nobody(t)))
	require.Equal(t, exitFailed, code)
	require.Len(t, found, 2)
	require.Contains(t, found[0].Problem, `the database "x"`)
	require.Contains(t, found[0].Remedy, "check the address")
	require.Contains(t, found[1].Problem, "the brokers at")
	require.NotContains(t, found[0].Problem, "secret-word")
}

// One cause is one finding, with what mends it.
func TestDoctorWithoutTheRights(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	kafka := broker(t)
	for role, remedy := range map[string]string{
		"tandem_consumer": `GRANT tandem_relay TO "tandem_consumer"`,                                                                                     // may read tandem.settings
		"pg_monitor":      "make it a member of the role tandem_relay (GRANT tandem_relay TO the login); if it is a member, SELECT tandem.grant_roles()", // may read nothing
	} {
		_, found := diagnosis(t, environment(withRole(t, database, role), kafka))
		require.Len(t, found, 1, "%v", found)
		require.Equal(t, "rights", found[0].Code)
		require.Equal(t, remedy, found[0].Remedy)
	}
}

// The settings are those of the relay, and are checked as there.
func TestDoctorChecksTheSettings(t *testing.T) {
	t.Parallel()
	r := tandem(t, environment("postgres://x@localhost/x", "localhost:9092", "TANDEM_LEASE=1ms"), "doctor")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "TANDEM_LEASE")
}

func TestFindingsOfATopic(t *testing.T) {
	t.Parallel()
	sound := relaykafka.Topic{Partitions: 3, MayWrite: true, MaxMessageBytes: 1_048_588}
	require.Empty(t, topicFindings("orders", sound, 900_000, "tandem"))
	unknown := relaykafka.Topic{Partitions: 3, MayWrite: true}
	require.Empty(t, topicFindings("orders", unknown, 900_000, "tandem"))

	found := topicFindings("orders", relaykafka.Topic{Leaderless: []int{2}, MaxMessageBytes: 900_000}, 900_000, "tandem")
	require.Len(t, found, 3)
	require.Contains(t, found[0].Problem, "may not write")
	require.Equal(t, []string{"topic-forbidden", "topic-leaderless", "topic-limit"}, []string{found[0].Code, found[1].Code, found[2].Code})
	require.Contains(t, found[1].Problem, "[2]")
	require.Equal(t, admin.Doubtful, found[2].Severity)
	require.Contains(t, found[2].Remedy, "max_event_bytes = 898976")
}
