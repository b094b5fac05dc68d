package admin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// healthy is a log that nothing is wrong with.
func healthy() Status {
	at := time.Now()
	return Status{
		At: at, Schema: "tandem", Lease: Lease{Held: true, Epoch: 3, Holder: "a"},
		Relays: []Relay{{Holder: "a", Leads: true, SeenAt: at}, {Holder: "b", SeenAt: at}},
		Log:    Log{Leaves: 16, LeavesUse: 2},
	}
}

func diagnosed(s Status) []Finding {
	d := &diagnosis{Status: s, limits: DefaultLimits()}
	d.relays()
	d.backlog()
	d.setAside()
	d.holding()
	return d.found
}

// Each thing that may be wrong is found, alone, and says why and what to do.
func TestEachFinding(t *testing.T) {
	t.Parallel()
	require.Empty(t, diagnosed(healthy()))
	for name, c := range map[string]struct {
		code     string
		ill      func(*Status)
		severity Severity
		problem  string
		remedy   string
	}{
		"no relay yet":  {"no-relay", func(s *Status) { s.Lease, s.Relays = Lease{}, nil }, Wrong, "no relay has ever worked", "tandem relay"},
		"lease run out": {"no-relay", func(s *Status) { s.Lease.Held, s.Relays = false, nil }, Wrong, "no relay works; the last was a", "tandem relay"},
		"no standby":    {"no-standby", func(s *Status) { s.Relays = s.Relays[:1] }, Doubtful, "no relay stands by", "another machine"},
		"dead standby":  {"no-standby", func(s *Status) { s.Relays[1].Silent = true }, Doubtful, "no relay stands by", "another machine"},
		"silent":        {"relay-silent", func(s *Status) { s.Relays[0].Silent = true }, Doubtful, "relay a holds the lease and has not been heard of", "its log"},
		"lag":           {"lag", func(s *Status) { s.Lag.Amount = Amount{Events: 5, Seconds: 61} }, Wrong, "5 events are not published, the oldest is 1m1s old", "tandem status"},
		"trouble":       {"topic-trouble", func(s *Status) { s.Topics = []Topic{{Topic: "orders", Trouble: "it does not exist"}} }, Wrong, "topic orders: it does not exist", "mend the topic"},
		"backlog":       {"backlog", func(s *Status) { s.Warnings = []string{"too much"} }, Doubtful, "too much", "tandem status"},
		"leaves":        {"log-space", func(s *Status) { s.Log.LeavesUse = 4 }, Doubtful, "4 leaves in use, where 2 would do for 0 events", "transactions"},
		"parked":        {"parked", func(s *Status) { s.Aside = Aside{Parked: 1, Held: 7} }, Wrong, "1 events are parked, and 7 held", "tandem parked list"},
		"many parked":   {"parked", func(s *Status) { s.Aside = Aside{Parked: 10_000, More: true} }, Wrong, "at least 10000 events are parked", "tandem parked list"},
		"deferred":      {"deferred", func(s *Status) { s.Aside.Deferred, s.Topics = 3, []Topic{{Topic: "bills", Deferred: 3}} }, Wrong, "3 events are deferred, for bills", "mend the topic"},
		"writer": {"open-transaction", func(s *Status) {
			s.Transactions = []Transaction{{PID: 4711, User: "shop", Seconds: 301, Holds: "events"}}
		}, Doubtful, "pid 4711", "pg_terminate_backend(4711)"},
		"reader":        {"open-transaction", func(s *Status) { s.Transactions = []Transaction{{PID: 4711, Seconds: 301, Holds: "leaves"}} }, Doubtful, "5m1s old", "pg_terminate_backend(4711)"},
		"hidden writer": {"open-transaction", func(s *Status) { s.Transactions = []Transaction{{PID: 4711, Hidden: true, Holds: "events"}} }, Doubtful, "this login sees no more", "4711"},
		"prepared":      {"prepared-transaction", func(s *Status) { s.Prepared = []Prepared{{ID: "it's", Owner: "shop", Seconds: 301}} }, Doubtful, "prepared transaction it's of shop", "ROLLBACK PREPARED 'it''s'"},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			c.ill(&s)
			found := diagnosed(s)
			require.Len(t, found, 1)
			require.Equal(t, c.severity, found[0].Severity)
			require.Contains(t, found[0].Problem, c.problem)
			require.NotEmpty(t, found[0].Why)
			require.Equal(t, c.code, found[0].Code)
			require.Contains(t, found[0].Remedy, c.remedy)
		})
	}
}

// What is no trouble is not told.
func TestNoFinding(t *testing.T) {
	t.Parallel()
	s := healthy()
	s.Lag.Amount = Amount{Events: 3 << 17, Seconds: 59}
	s.Log.LeavesUse = 5
	s.Aside = Aside{Scheduled: 10, Expired: 5, Discarded: 2}
	s.Transactions = []Transaction{{Seconds: 299, Holds: "events"}, {Seconds: 9999, Holds: "rows"}, {Hidden: true, Holds: "leaves"}}
	s.Prepared = []Prepared{{Seconds: 10}}
	s.Relays = append(s.Relays, Relay{Holder: "killed", Silent: true})
	require.Empty(t, diagnosed(s))
}

func TestFindingsOfTheServersSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fsync, pages, commit string
		roles                []string
		problem, remedy      string
		code                 string
	}{
		"fsync":              {"off", "on", "on", nil, "fsync = off", "ALTER SYSTEM SET fsync = on", "fsync-off"},
		"full_page_writes":   {"on", "off", "on", nil, "full_page_writes = off", "ALTER SYSTEM SET full_page_writes = on", "full-page-writes-off"},
		"synchronous_commit": {"on", "on", "off", nil, "off for this login", "SET synchronous_commit = on", "synchronous-commit-off"},
		"of a role":          {"on", "on", "on", []string{"role shop"}, "off for role shop", "SET synchronous_commit = on", "synchronous-commit-off"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &diagnosis{Status: healthy()}
			d.settings(c.fsync, c.pages, c.commit, c.roles)
			require.Len(t, d.found, 1)
			require.Contains(t, d.found[0].Problem, c.problem)
			require.Equal(t, c.code, d.found[0].Code)
			require.Contains(t, d.found[0].Remedy, c.remedy)
		})
	}
	d := &diagnosis{Status: healthy()}
	d.settings("on", "on", "remote_apply", nil)
	require.Empty(t, d.found)
}
