package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestInboxStatus(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	env := []string{"TANDEM_DATABASE_URL=" + asConsumer(t, database)}
	require.Contains(t, done(t, env, "inbox", "status"), "consumers  none of Kafka's has worked here\nstorage    0 ids in ")
	var s struct {
		inboxadmin.Status
		Findings []map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(done(t, env, "inbox", "status", "--json")), &s))
	require.NotNil(t, s.Consumers)
	require.NotNil(t, s.Findings)

	_, env = setMessagesAside(t)
	require.NoError(t, json.Unmarshal([]byte(done(t, env, "inbox", "status", "--json")), &s))
	require.Len(t, s.Consumers, 2)
	require.Equal(t, int64(2), s.Consumers[0].Aside.Parked)
	require.Len(t, s.Findings, 2)
	require.Equal(t, "error", s.Findings[0]["severity"])
	require.Regexp(t, `(?m)^consumer   billing: 2 parked, 1 retrying, 1 held, the oldest for \S+.*; 0 skipped, 0 discarded$`, done(t, env, "inbox", "status"))
}

// The whole of what people see, with everything that there can be.
func TestInboxStatusForPeople(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	before := func(d time.Duration) *time.Time { t := at.Add(-d); return &t }
	number := func(n int64) *int64 { return &n }
	s := inboxadmin.Status{
		At: at, Schema: "tandem",
		Consumers: []inboxadmin.Consumer{
			{
				Consumer: "billing", Unprovable: "process", Late: 3, Skipped: 4, Discarded: 5, More: true,
				Aside: inboxadmin.Aside{Parked: 1, Retrying: 2, Held: 3, UnderWay: 1, Oldest: before(65 * time.Second)},
				Partitions: []inboxadmin.Partition{
					{
						Topic: "orders", Partition: 0, Owner: "host-a/1", Since: *before(90 * time.Minute), SeenAt: *before(2 * time.Second),
						Words: inboxadmin.Words{State: "blocked", Why: "message after message fails", Next: number(14), End: number(20), Lag: number(6)},
						Aside: inboxadmin.Aside{Parked: 1, Retrying: 2, Held: 2},
					},
					{
						Topic: "orders", Partition: 1, Owner: "host-b/2", Since: *before(50 * time.Hour), SeenAt: *before(time.Hour), Unseen: true,
						Aside: inboxadmin.Aside{Held: 1},
					},
				},
			},
			{Consumer: "mail", Unprovable: "refuse"},
		},
		Storage: inboxadmin.Storage{Floor: before(20 * 24 * time.Hour), Ceiling: before(-20 * 24 * time.Hour), Leaves: 6, Bytes: 41_000_000, IDs: 123_456, Foreign: 78, ForeignCounted: true},
	}
	var out bytes.Buffer
	require.NoError(t, inboxStatusText(&out, s))
	golden(t, "inbox_status.txt", out.String())
}

func TestDoctorLooksAtTheInbox(t *testing.T) {
	t.Parallel()
	database, _ := setMessagesAside(t)
	execute(t, database, `UPDATE tandem.inbox_partition SET facts = '{"state": "blocked", "why": "a message that is set aside holds the partition"}' WHERE consumer = 'mail'`,
		`UPDATE tandem.inbox_partition SET seen_at = clock_timestamp() - interval '1 hour' WHERE consumer = 'billing' AND partition = 1`)
	kafka := broker(t)
	code, found := diagnosis(t, environment(database, kafka))
	require.Equal(t, exitFailed, code)
	var problems []string
	for _, f := range found {
		problems = append(problems, f.Code+": "+f.Problem)
	}
	require.Equal(t, []string{
		"no-relay: no relay has ever worked here",
		"inbox-parked: consumer billing: 2 messages are parked, and 1 held behind what is set aside",
		"inbox-unconsumed: consumer billing: nobody consumes orders/1, where 1 messages are set aside",
		"inbox-parked: consumer mail: 1 messages are parked, and 0 held behind what is set aside",
		"inbox-blocked: consumer mail: orders/0 is blocked: a message that is set aside holds the partition",
	}, problems)
	// A relay's login cannot see that, and says so.
	_, found = diagnosis(t, environment(asRelay(t, database), kafka))
	require.Len(t, found, 2)
	require.Contains(t, found[1].Remedy, "GRANT tandem_consumer")
	require.Contains(t, found[1].Remedy, "run tandem inbox status with")
	require.Equal(t, "inbox-hidden", found[1].Code)
}

func TestInboxMaintain(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	env := []string{"TANDEM_DATABASE_URL=" + asConsumer(t, database)}
	done(t, env, "inbox", "maintain")
	require.Equal(t, "nothing to do\n", done(t, env, "inbox", "maintain"))
	execute(t, database, `INSERT INTO tandem.inbox_foreign (consumer, message_id, received_at) VALUES ('billing', 'old', now() - interval '100 days'), ('billing', 'new', now())`,
		`DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE tandem.%I', tandem.inbox_leaf_name(ceiling - interval '7 days')) FROM tandem.inbox_bounds); END $$`,
		`UPDATE tandem.inbox_bounds SET ceiling = ceiling - interval '7 days'`)
	require.Regexp(t, `^made [12] leaves, deleted 1 rows of ids and notes\n$`, done(t, env, "inbox", "maintain"))
	require.JSONEq(t, `{"leaves_made": 0, "leaves_emptied": 0, "leaves_dropped": 0, "rows_expired": 0}`, done(t, env, "inbox", "maintain", "--json"))
}
