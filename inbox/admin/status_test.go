package admin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/admin"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s, err := d.Status(t.Context())
	require.NoError(t, err)
	require.Empty(t, s.Consumers)
	require.NotNil(t, s.Consumers)
	require.Empty(t, s.Findings())
	require.Zero(t, s.Storage.IDs)
	d.exec(t, `INSERT INTO tandem.inbox (consumer, message_id) SELECT 'early', tandem.uuidv7() FROM generate_series(1, 2)`)
	d.exec(t, `INSERT INTO tandem.inbox_foreign (consumer, message_id) SELECT 'early', n::text FROM generate_series(1, 1000) AS n`)
	s, err = d.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int64{2, 1000}, []int64{s.Storage.IDs, s.Storage.Foreign})
	require.True(t, s.Storage.IDsCounted && s.Storage.ForeignCounted)
	d.exec(t, `INSERT INTO tandem.inbox_foreign (consumer, message_id) VALUES ('early', 'one more')`)

	n := d.poisoned(t)
	d.exec(t, `INSERT INTO tandem.inbox_consumer (consumer, unprovable, facts) VALUES ('billing', 'process', '{"group": "billing-2"}'), ('idle', 'refuse', '{}')`)
	d.exec(t, `UPDATE tandem.inbox_partition SET facts = '{"state": "blocked", "why": "the database does not take a batch", "next": 14, "end": 20, "lag": 6, "held_keys": 1, "new": true}'
		WHERE consumer = 'billing' AND partition = 0`)
	d.exec(t, `UPDATE tandem.inbox_partition SET facts = '{"state": 7, "next": "x", "end": -1}', seen_at = clock_timestamp() - interval '1 hour' WHERE consumer = 'billing' AND partition = 1`)
	d.exec(t, `INSERT INTO tandem.inbox_late (consumer, message_id) SELECT 'billing', gen_random_uuid() FROM generate_series(1, 3)`)
	d.exec(t, `INSERT INTO tandem.inbox (consumer, message_id) SELECT 'billing', tandem.uuidv7() FROM generate_series(1, 2000)`)
	d.exec(t, `INSERT INTO tandem.inbox_dropped (consumer, topic, partition, position, kind) VALUES ('billing', 'orders', 0, 1, 'skipped'), ('mail', 'orders', 0, 1, 'skipped')`)
	_, err = d.Discard(t.Context(), admin.Selector{Aside: n[5:]}, false, "alice", "")
	require.NoError(t, err)
	_, err = d.Redrive(t.Context(), admin.Selector{Aside: n[2:3]}, "alice")
	require.NoError(t, err)

	s, err = d.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Consumers, 3)
	billing, idle, mail := s.Consumers[0], s.Consumers[1], s.Consumers[2]
	require.NotNil(t, billing.Aside.Oldest)
	billing.Aside.Oldest = nil
	require.Equal(t, admin.Aside{Parked: 2, Retrying: 1, Held: 2, UnderWay: 1}, billing.Aside)
	require.Equal(t, "process", billing.Unprovable)
	require.JSONEq(t, `{"group": "billing-2"}`, string(billing.Facts))
	require.Equal(t, []int64{3, 1, 0}, []int64{billing.Late, billing.Skipped, billing.Discarded})
	require.Equal(t, []int64{0, 1, 1}, []int64{mail.Late, mail.Skipped, mail.Discarded})
	require.False(t, billing.More)
	require.Equal(t, "refuse", idle.Unprovable)
	require.Empty(t, idle.Partitions)

	require.Len(t, billing.Partitions, 2)
	first, second := billing.Partitions[0], billing.Partitions[1]
	require.Equal(t, admin.Words{State: "blocked", Why: "the database does not take a batch", Next: pointer[int64](14), End: pointer[int64](20), Lag: pointer[int64](6), HeldKeys: pointer[int64](1)}, first.Words)
	require.Equal(t, "host/1", first.Owner)
	require.Positive(t, first.Epoch)
	require.False(t, first.Unseen)
	require.Equal(t, int64(4), first.Aside.Total())
	require.Equal(t, admin.Words{}, second.Words) // what it does not understand
	require.True(t, second.Unseen)

	require.Greater(t, s.Storage.Leaves, 50)
	require.Positive(t, s.Storage.Bytes)
	require.InDelta(t, 2000, s.Storage.IDs, 1000)
	require.False(t, s.Storage.IDsCounted || s.Storage.ForeignCounted)
	require.True(t, s.Storage.Floor.Before(s.At))
	require.True(t, s.Storage.Ceiling.After(s.At.Add(300*24*time.Hour)))

	require.Equal(t, []string{
		"error: consumer billing: 2 messages are parked, and 2 held behind what is set aside",
		"error: consumer billing: orders/0 is blocked: the database does not take a batch",
		"error: consumer billing: nobody consumes orders/1, where 1 messages are set aside",
	}, told(s.Findings()))
}

func told(found []admin.Finding) []string {
	var all []string
	for _, f := range found {
		all = append(all, fmt.Sprintf("%s: %s", f.Severity, f.Problem))
	}
	return all
}

// A partition that nobody consumes may be meant, where nothing waits there.
func TestFindingsOfManyPartitions(t *testing.T) {
	t.Parallel()
	ceiling := time.Now().AddDate(1, 0, 0)
	s := admin.Status{At: time.Now(), Schema: "messages", Storage: admin.Storage{Ceiling: &ceiling}}
	c := admin.Consumer{Consumer: "o'hara"}
	for i := range int32(7) {
		c.Partitions = append(c.Partitions, admin.Partition{Topic: "orders", Partition: i, Unseen: true})
	}
	s.Consumers = append(s.Consumers, c)
	found := s.Findings()
	require.Equal(t, []string{"warning: consumer o'hara: nobody consumes orders/0, orders/1, orders/2, orders/3, orders/4 and 2 more"}, told(found))
	require.Contains(t, found[0].Remedy, `DELETE FROM "messages".inbox_partition WHERE consumer = 'o''hara'`)
	s.Consumers[0].Partitions = nil
	s.Consumers[0].Aside.Parked = 1
	require.Contains(t, s.Findings()[0].Remedy, `--consumer 'o'\''hara'`)
}

// The doctor may have a relay's rights alone.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	relay, err := admin.New(open(t, d.url, map[string]string{"role": "tandem_relay", "search_path": ""}), "")
	require.NoError(t, err)
	for _, op := range []*admin.Operator{d.Operator, relay} {
		found, err := op.Diagnose(t.Context())
		require.NoError(t, err)
		require.Empty(t, found)
	}
	d.poisoned(t)
	d.exec(t, `DO $$ DECLARE leaf regclass; BEGIN
		FOR leaf IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'tandem.inbox'::regclass ORDER BY inhrelid::regclass::text OFFSET 5 LOOP
			EXECUTE format('DROP TABLE %s', leaf);
		END LOOP; END $$`)
	found, err := d.Diagnose(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 3)
	require.Contains(t, found[0].Problem, "consumer billing: 2 messages are parked")
	require.Regexp(t, `^the inbox has leaves until 20\d\d-\d\d-\d\d$`, found[2].Problem)
	found, err = relay.Diagnose(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"warning: " + found[0].Problem, "warning: this login may not see what consumers of Kafka have set aside, nor whether they work"}, told(found))
	require.Contains(t, found[0].Problem, "the inbox has leaves until")
}

func TestMaintain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	did, err := d.Maintain(t.Context())
	require.NoError(t, err)
	require.Zero(t, did.Emptied)
	old := uuid.Must(uuid.NewV7()).String()
	d.exec(t, `UPDATE tandem.inbox_bounds SET retention = '1 day', ceiling = ceiling - interval '7 days'`)
	leaf := d.text(t, `SELECT 'inbox_' || to_char(ceiling AT TIME ZONE 'UTC', 'YYYYMMDD') FROM tandem.inbox_bounds`)
	d.exec(t, `DROP TABLE tandem.`+leaf)
	// An id of the oldest leaf, which is wholly older than a day.
	d.exec(t, `INSERT INTO tandem.inbox (consumer, message_id) SELECT 'billing', (left(tandem.uuid_at(tandem.inbox_floor_time())::text, 14) || substr($1, 15))::uuid`, old)
	did, err = d.Maintain(t.Context())
	require.NoError(t, err)
	require.Positive(t, did.Made)
	require.Equal(t, 1, did.Emptied)
}
