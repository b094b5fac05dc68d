package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay/admin"
)

func TestStatusOfARelayThatWorks(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	r := tandem(t, []string{"TANDEM_DATABASE_URL=" + database}, "status")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "leads    nobody, nor has anybody yet\nlag      0 events\n")

	env := environment(database, broker(t))
	start(t, env, "relay").stderr.await(t, "msg=relaying")
	start(t, env, "relay").stderr.await(t, "standing by")
	add(t, database, "orders", "1", "2", "3")
	var s admin.Status
	require.Eventually(t, func() bool {
		r := tandem(t, env, "status", "--json")
		require.Equal(t, exitDone, r.code, r.stderr)
		s = admin.Status{}
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &s))
		return len(s.Relays) == 2 && s.Relays[0].Stats["published"] == 3
	}, 30*time.Second, 100*time.Millisecond)
	require.True(t, s.Relays[0].Leads)
	require.Equal(t, "standby", s.Relays[1].State)
	require.Zero(t, s.Lag.Events)
	require.NotNil(t, s.Lag.Unread)

	r = tandem(t, env, "status")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Regexp(t, `(?m)^leads    \S+ for \S+ \(epoch 1, lease ends in \S+\), started \S+ ago, `, r.stdout)
	require.Regexp(t, `(?m)^standby  \S+, started \S+ ago`, r.stdout)
	require.Contains(t, r.stdout, "lag      0 events: 0 events not read; 0 events read, not acknowledged; 0 events acknowledged, not saved\n")
}

func TestStatusSaysWhatItCannotRead(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	env := []string{"TANDEM_DATABASE_URL=" + database}
	tandem(t, env, "status", "--schema", "elsewhere").oneLineOf(t, "tandem migrate up")
	tandem(t, []string{"TANDEM_DATABASE_URL=" + withRole(t, database, "pg_monitor")}, "status").oneLineOf(t, "tandem_relay")
	tandem(t, []string{"TANDEM_DATABASE_URL=postgres://x@" + nobody(t) + "/x"}, "status").oneLineOf(t, "check the address")
}

// The whole of what people see, with everything that there can be.
func TestStatusForPeople(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := func(d time.Duration) time.Time { return at.Add(-d) }
	since, until := before(90*time.Minute), at.Add(4*time.Second)
	s := admin.Status{
		At:    at,
		Lease: admin.Lease{Held: true, Holder: "a/1", Epoch: 7, AcquiredAt: &since, ExpiresAt: &until},
		Relays: []admin.Relay{
			{Holder: "a/1", Version: "v1.2.3", State: "relaying", Leads: true, StartedAt: before(50 * time.Hour), SeenAt: at},
			{Holder: "b/2", State: "standby", StartedAt: before(time.Hour), SeenAt: at},
			{Holder: "c/3", State: "relaying", StartedAt: before(time.Hour), SeenAt: before(5 * time.Second)},
			{Holder: "d/4", State: "relaying", StartedAt: before(time.Hour), SeenAt: before(time.Minute), Silent: true},
		},
		Lag: admin.Lag{
			Amount: admin.Amount{Events: 25_000, Bytes: 2_500_000, Seconds: 65.4, Estimated: true},
			Unread: &admin.Amount{Events: 24_000, Bytes: 2_400_000, Seconds: 3.25, Estimated: true},
			InFlight: &admin.Amount{
				Events: 1000, Bytes: 100_000, Seconds: 0.0123,
			},
			Acknowledged: &admin.Amount{},
		},
		Aside:           admin.Aside{Parked: 1, Held: 2, Deferred: 3, Scheduled: 4, Expired: 5, Discarded: 6, More: true},
		Log:             admin.Log{Bytes: 41_000_000, LeavesUse: 2, Leaves: 16},
		DiskFullSeconds: 3 * 86400,
		Warnings:        []string{"the log takes 41 MB"},
		Transactions: []admin.Transaction{
			{PID: 4711, Application: "shop", User: "shop", State: "idle in transaction", Seconds: 720, Query: "INSERT INTO orders", Holds: "events"},
			{PID: 4712, User: "root", Hidden: true, Holds: "leaves"},
		},
		Prepared: []admin.Prepared{{ID: "xa-1", Owner: "shop", Seconds: 3600}},
		Slots:    []admin.Slot{{Name: "cdc", Bytes: 5_000_000_000}},
		Topics: []admin.Topic{
			{Topic: "bills", Deferred: 3, Trouble: "it does not exist", SetAside: true},
			{Topic: "orders", Backlog: 10_000, Seconds: 65.4, More: true, Parked: 1, Held: 2, Scheduled: 4},
		},
	}
	var out bytes.Buffer
	require.NoError(t, statusText(&out, s))
	require.Equal(t, `leads    a/1 for 1h30m (epoch 7, lease ends in 4s), started 2 days ago, v1.2.3
standby  b/2, started 1h ago
no lease c/3, started 1h ago
gone     d/4, started 1h ago; not heard of for 1m
lag      ~25000 events, ~2.5 MB, 1m5s: ~24000 events, ~2.4 MB, 3.3s not read; 1000 events, 100.0 kB, 12ms read, not acknowledged; 0 events acknowledged, not saved
aside    ≥ 1 parked, 2 held, 3 deferred, 4 scheduled; 5 expired, 6 discarded
log      2 of 16 leaves in use, 41.0 MB on disk; the disk is full in 3 days at this rate
warning  the log takes 41 MB
holding  its own events, and the leaves they are in: pid 4711 of shop ("shop", idle in transaction, for 12m): INSERT INTO orders
holding  the leaves that it has read: pid 4712 of root, of which this login sees no more (GRANT pg_read_all_stats)
holding  what it wrote: prepared transaction "xa-1" of shop, for 1h
slot     cdc (not active) keeps 5.0 GB of WAL

TOPIC   BACKLOG  OLDEST  PARKED  HELD  DEFERRED  SCHEDULED  TROUBLE
bills   0                0       0     3         0          it does not exist (its events are set aside)
orders  ≥10000   1m5s    1       2     0         4          
`, out.String())
}

// withRole is the URL with the rights of another role, one of the server's own.
func withRole(t testing.TB, database, role string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	values := u.Query()
	values.Set("role", role)
	u.RawQuery = values.Encode()
	return u.String()
}
