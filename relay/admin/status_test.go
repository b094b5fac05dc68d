package admin_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func (d *desk) status(t *testing.T) admin.Status {
	t.Helper()
	s, err := admin.ReadStatus(t.Context(), asRelay(t, d.url), "")
	require.NoError(t, err)
	return s
}

func (d *desk) fill(t *testing.T, topic string, n int) {
	t.Helper()
	d.exec(t, `INSERT INTO tandem.log (created_at, topic, payload) SELECT clock_timestamp() - interval '1 minute', $1, 'abcdefghij' FROM generate_series(1, $2::int)`, topic, n)
}

func topicOf(t *testing.T, s admin.Status, name string) admin.Topic {
	t.Helper()
	for _, topic := range s.Topics {
		if topic.Topic == name {
			return topic
		}
	}
	t.Fatalf("no topic %s in %v", name, s.Topics)
	return admin.Topic{}
}

// It works where no relay has ever run.
func TestStatusOfAnEmptyLog(t *testing.T) {
	t.Parallel()
	s := newDesk(t).status(t)
	require.False(t, s.Lease.Held)
	require.Zero(t, s.Lease.Epoch)
	require.Nil(t, s.Lease.ExpiresAt)
	require.Empty(t, s.Relays)
	require.Equal(t, admin.Lag{}, s.Lag)
	require.Equal(t, admin.Aside{}, s.Aside)
	require.Zero(t, s.Log.LeavesUse)
	require.Equal(t, 16, s.Log.Leaves)
	require.Empty(t, s.Topics)
	require.WithinDuration(t, time.Now(), s.At, time.Minute)
}

func TestStatusCountsTheBacklogByTopic(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(t, "orders", 30)
	d.fill(t, "bills", 12)
	s := d.status(t)
	require.EqualValues(t, 42, s.Lag.Events)
	require.EqualValues(t, 420, s.Lag.Bytes)
	require.InDelta(t, 60, s.Lag.Seconds, 30)
	require.False(t, s.Lag.Estimated)
	require.Nil(t, s.Lag.Unread, "no relay is there to tell")
	require.EqualValues(t, 42, s.Lag.Positions.Committed)
	require.EqualValues(t, 30, topicOf(t, s, "orders").Backlog)
	require.EqualValues(t, 12, topicOf(t, s, "bills").Backlog)
	require.Equal(t, 1, s.Log.LeavesUse)

	d.exec(t, `INSERT INTO tandem.checkpoint (prev) VALUES (pg_current_snapshot())`)
	s = d.status(t)
	require.Zero(t, s.Lag.Events)
	require.Empty(t, s.Topics)
}

// Beyond the bound there is an estimate, and it says so.
func TestStatusEstimatesALongBacklog(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(t, "orders", 25_000)
	s := d.status(t)
	require.EqualValues(t, 25_000, s.Lag.Events)
	require.True(t, s.Lag.Estimated)
	require.EqualValues(t, 10_000, topicOf(t, s, "orders").Backlog)
	require.True(t, topicOf(t, s, "orders").More)
}

func TestStatusCountsWhatIsSetAside(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.poisoned(t)
	d.exec(t, `INSERT INTO tandem.dropped (position, created_at, id, topic, kind) VALUES
		(101, now(), gen_random_uuid(), 'orders', 'expired'), (102, now(), gen_random_uuid(), 'orders', 'discarded'), (103, now(), gen_random_uuid(), 'orders', 'expired')`)
	s := d.status(t)
	require.Equal(t, admin.Aside{Parked: 3, Held: 2, Deferred: 1, Scheduled: 1, Expired: 2, Discarded: 1}, s.Aside)
	orders, bills := topicOf(t, s, "orders"), topicOf(t, s, "bills")
	require.Equal(t, []int64{2, 2, 0, 0}, []int64{orders.Parked, orders.Held, orders.Deferred, orders.Scheduled})
	require.Equal(t, []int64{1, 0, 1, 1}, []int64{bills.Parked, bills.Held, bills.Deferred, bills.Scheduled})

	d.exec(t, `INSERT INTO tandem.deferred (position, created_at, id, topic, state, ordered) SELECT n, now(), gen_random_uuid(), 'metrics', 'waiting', true FROM generate_series(1000, 12000) AS n`)
	s = d.status(t)
	require.True(t, s.Aside.More)
	require.EqualValues(t, 3, s.Aside.Parked, "many others do not hide the few")
}

// What a working relay has said makes the stages.
func TestStatusSplitsTheLag(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(t, "orders", 100)
	at := d.text(t, `SELECT pg_current_snapshot()::text`)
	owner := uuid.New()
	d.exec(t, `UPDATE tandem.lease SET owner = $1, holder = 'a', epoch = 7, acquired_at = clock_timestamp() - interval '1 hour', expires_at = clock_timestamp() + interval '1 minute'`, owner)
	const beat = `INSERT INTO tandem.relay (owner, holder, version, state, seen_at, facts) VALUES ($1, $2, 'v1', $3, clock_timestamp() - $4::interval, $5)`
	d.exec(t, beat, owner, "a", "relaying", "0", map[string]any{
		"beat_seconds": 2, "stats": map[string]int64{"published": 5},
		"term": map[string]any{
			"read": map[string]any{"prev": at}, "read_position": 100, "acknowledged_position": 60, "saved_position": 0, "in_flight": 25,
			"in_flight_bytes": 250, "in_flight_oldest": time.Now().Add(-30 * time.Second),
			"topics":   []any{map[string]any{"topic": "orders", "trouble": "it does not exist", "since": time.Now(), "set_aside": true}},
			"warnings": []string{"too much"}, "disk_full_seconds": 3600,
		},
	})
	d.exec(t, beat, uuid.New(), "b", "standby", "0", map[string]any{"beat_seconds": 2})
	d.exec(t, beat, uuid.New(), "c", "standby", "10 seconds", map[string]any{"beat_seconds": 2})
	d.exec(t, beat, uuid.New(), "d", "standby", "2 days", map[string]any{})
	d.fill(t, "bills", 7) // a minute old, and not read

	s := d.status(t)
	require.True(t, s.Lease.Held)
	require.EqualValues(t, 7, s.Lease.Epoch)
	require.Len(t, s.Relays, 3)
	require.True(t, s.Relays[0].Leads)
	require.EqualValues(t, 5, s.Relays[0].Stats["published"])
	require.Equal(t, []bool{false, false, true}, []bool{s.Relays[0].Silent, s.Relays[1].Silent, s.Relays[2].Silent})
	require.EqualValues(t, 107, s.Lag.Events)
	require.EqualValues(t, 7, s.Lag.Unread.Events)
	require.EqualValues(t, 25, s.Lag.InFlight.Events)
	require.InDelta(t, 30, s.Lag.InFlight.Seconds, 10)
	require.EqualValues(t, 75, s.Lag.Acknowledged.Events)
	require.EqualValues(t, 100, *s.Lag.Positions.Read)
	require.EqualValues(t, 60, *s.Lag.Positions.Acknowledged)
	orders := topicOf(t, s, "orders")
	require.Equal(t, "it does not exist", orders.Trouble)
	require.True(t, orders.SetAside)
	require.Equal(t, []string{"too much"}, s.Warnings)
	require.EqualValues(t, 3600, s.DiskFullSeconds)

	// One that is not heard of any more tells nothing.
	d.exec(t, `UPDATE tandem.relay SET seen_at = seen_at - interval '1 minute' WHERE owner = $1`, owner)
	s = d.status(t)
	require.Nil(t, s.Lag.Unread)
	require.True(t, s.Relays[0].Silent)
}

// Who holds what back is named: a writer that does not commit, a reader that does
// not end, one that has a snapshot only; a prepared transaction.
func TestStatusNamesWhatHoldsBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(t, "orders", 10)
	hold := func(application, statement string) {
		conn := open(t, d.url, map[string]string{"application_name": application})
		for _, s := range []string{`BEGIN ISOLATION LEVEL REPEATABLE READ`, statement} {
			_, err := conn.Exec(t.Context(), s)
			require.NoError(t, err)
		}
		t.Cleanup(func() { _, _ = conn.Exec(context.Background(), `ROLLBACK`) })
	}
	hold("slow writer", `INSERT INTO tandem.log (topic) VALUES ('orders')`)
	hold("dump", `SELECT count(*) FROM tandem.log`)
	hold("report", `SELECT count(*) FROM pg_class`)
	byName := map[string]admin.Transaction{}
	require.Eventually(t, func() bool { // a transaction counts once it is a second old
		s, err := admin.ReadStatus(t.Context(), d.owner, "")
		require.NoError(t, err)
		for _, held := range s.Transactions {
			byName[held.Application] = held
		}
		return len(byName) == 3
	}, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, "events", byName["slow writer"].Holds)
	require.Equal(t, "leaves", byName["dump"].Holds)
	require.Equal(t, "rows", byName["report"].Holds)
	require.Contains(t, byName["slow writer"].Query, "INSERT INTO tandem.log")
	require.Equal(t, "idle in transaction", byName["slow writer"].State)
	require.NotZero(t, byName["slow writer"].PID)
	require.GreaterOrEqual(t, byName["slow writer"].Seconds, 1.0)

	// A relay's login sees that there are two, and no more of them.
	s := d.status(t)
	require.Len(t, s.Transactions, 2)
	for _, held := range s.Transactions {
		require.True(t, held.Hidden)
		require.Empty(t, held.Query)
	}
	require.Equal(t, "events", s.Transactions[0].Holds)
}

// The time does not follow the backlog: of 100,000 events at most a tenth is read.
func TestStatusReadsALimitedPartOfTheLog(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.fill(t, "orders", 200_000)
	d.exec(t, `INSERT INTO tandem.checkpoint (prev, cur, done, high) VALUES ('3:3:', pg_current_snapshot(), 100000, 200000)`)
	conn := asRelay(t, d.url)
	s, err := admin.ReadStatus(t.Context(), conn, "")
	require.NoError(t, err)
	require.EqualValues(t, 100_000, s.Lag.Events)
	require.NoError(t, conn.Close(t.Context())) // its counts are sent at the latest now
	const read = `SELECT sum(seq_tup_read + idx_tup_fetch)::int FROM pg_stat_user_tables WHERE relname LIKE 'log\_%'`
	require.Eventually(t, func() bool { return d.int(t, read) >= 10_000-16 }, 30*time.Second, 20*time.Millisecond)
	require.InDelta(t, 10_000, d.int(t, read), 16, "one more, or one for each leaf")
}

func (d *desk) int(t *testing.T, query string) int {
	t.Helper()
	var n int
	require.NoError(t, d.owner.QueryRow(t.Context(), query).Scan(&n))
	return n
}

// What was published is not known then, so there is no lag to tell.
func TestStatusWithoutACheckpoint(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.exec(t, `TRUNCATE tandem.checkpoint`)
	_, err := admin.ReadStatus(t.Context(), asRelay(t, d.url), "")
	var access *admin.AccessError
	require.ErrorAs(t, err, &access)
	require.Contains(t, access.Remedy, "tandem rebase")
}
