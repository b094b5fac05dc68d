package admin_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func (d *desk) marked(t *testing.T) string {
	t.Helper()
	return d.text(t, `SELECT coalesce(string_agg(position || ':' || redrive, ' ' ORDER BY position), '') FROM tandem.deferred WHERE redrive IS NOT NULL`)
}

func TestRedriveMarksParkedEventsOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.poisoned(t)
	first, err := d.Redrive(t.Context(), admin.Selector{Keys: []string{"a"}}, "alice")
	require.NoError(t, err)
	require.Equal(t, int64(1), first.Total)
	require.Equal(t, "redrive", first.Kind)
	require.Equal(t, "alice", first.By)
	require.Nil(t, first.FinishedAt)

	second, err := d.Redrive(t.Context(), admin.Selector{}, "bob")
	require.NoError(t, err)
	require.Equal(t, int64(2), second.Total)
	require.Equal(t, "1:1 3:2 5:2", d.marked(t))

	_, err = d.Redrive(t.Context(), admin.Selector{Topics: []string{"bills"}}, "carol")
	var nothing *admin.NothingError
	require.ErrorAs(t, err, &nothing)
	require.ErrorContains(t, err, "being sent again already (1 events)")
	require.Equal(t, "2", d.text(t, `SELECT count(*)::text FROM tandem.request`))

	// A mark of a request that is over does not keep an event from being sent again.
	d.exec(t, `UPDATE tandem.request SET finished_at = clock_timestamp() WHERE request = 1`)
	third, err := d.Redrive(t.Context(), admin.Selector{}, "carol")
	require.NoError(t, err)
	require.Equal(t, int64(1), third.Total)
	require.Equal(t, "1:3 3:2 5:2", d.marked(t))
}

func TestRedriveOfHeldEventsNamesTheParkedOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := d.poisoned(t)
	_, err := d.Redrive(t.Context(), admin.Selector{IDs: []uuid.UUID{ids[1], ids[3]}}, "alice")
	var nothing *admin.NothingError
	require.ErrorAs(t, err, &nothing)
	require.Equal(t, []uuid.UUID{ids[0]}, nothing.Behind)
	require.ErrorContains(t, err, "held (2 events), behind "+ids[0].String())

	_, err = d.Redrive(t.Context(), admin.Selector{IDs: ids[5:]}, "alice")
	require.ErrorContains(t, err, "goes on by itself")
	_, err = d.Redrive(t.Context(), admin.Selector{Topics: []string{"none"}}, "alice")
	require.ErrorContains(t, err, "no event that is set aside matches")
	require.Equal(t, "0", d.text(t, `SELECT count(*)::text FROM tandem.request`))
}

// locked holds row locks as a save in progress does.
func (d *desk) locked(t *testing.T, positions ...int64) (release func()) {
	t.Helper()
	tx, err := open(t, d.url, nil).Begin(t.Context())
	require.NoError(t, err)
	rows, err := tx.Query(t.Context(), `SELECT position FROM tandem.deferred WHERE position = ANY ($1) FOR UPDATE`, positions)
	require.NoError(t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	require.Len(t, got, len(positions))
	return func() { _ = tx.Rollback(context.Background()) }
}

// What the relay's save holds at this moment is neither waited for nor taken.
func TestOperatorsDoNotWaitForTheRelay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := d.poisoned(t)
	release := d.locked(t, 1, 3)
	request, err := d.Redrive(t.Context(), admin.Selector{}, "alice")
	require.NoError(t, err)
	require.Equal(t, int64(1), request.Total)
	require.Equal(t, "5:1", d.marked(t))
	_, err = d.Redrive(t.Context(), admin.Selector{IDs: ids[:1]}, "alice")
	require.ErrorContains(t, err, "try again")
	// Nor the held ones behind what is locked.
	_, err = d.Discard(t.Context(), admin.Selector{IDs: []uuid.UUID{ids[1]}}, true, "alice", "")
	var nothing *admin.NothingError
	require.ErrorAs(t, err, &nothing)
	release()
	gone, err := d.Discard(t.Context(), admin.Selector{IDs: []uuid.UUID{ids[1]}}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, int64(1), gone.Held)
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := d.poisoned(t)
	gone, err := d.Discard(t.Context(), admin.Selector{Topics: []string{"orders"}}, false, "alice", "ticket 7")
	require.NoError(t, err)
	require.Equal(t, int64(2), gone.Parked)
	require.Zero(t, gone.Held)
	require.Equal(t, []int64{5}, d.list(t, admin.Selector{}))
	require.Equal(t, []int64{2, 4, 6}, d.list(t, admin.Selector{States: []admin.State{admin.Deferred}}))
	require.Equal(t, "1:discarded:alice:ticket 7 3:discarded:alice:ticket 7",
		d.text(t, `SELECT string_agg(concat_ws(':', position, kind, by, why), ' ' ORDER BY position) FROM tandem.dropped`))
	require.Equal(t, `release 2 {"topics": ["orders"]}`,
		d.text(t, `SELECT concat_ws(' ', kind, total, arguments) FROM tandem.request WHERE request = $1`, *gone.Release))

	_, err = d.Show(t.Context(), ids[0])
	require.ErrorContains(t, err, "was discarded by alice")
	require.ErrorContains(t, err, "ticket 7")
	// What a discarded event held is the relay's now.
	_, err = d.Discard(t.Context(), admin.Selector{IDs: []uuid.UUID{ids[1]}}, true, "alice", "")
	require.ErrorContains(t, err, "goes on by itself")
}

func TestDiscardOfHeldEvents(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := d.poisoned(t)
	_, err := d.Discard(t.Context(), admin.Selector{IDs: []uuid.UUID{ids[3]}}, false, "alice", "")
	require.ErrorContains(t, err, "held (1 events), behind "+ids[0].String())
	gone, err := d.Discard(t.Context(), admin.Selector{IDs: []uuid.UUID{ids[3]}}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, int64(1), gone.Held)
	require.Equal(t, []int64{1, 2, 3, 5}, d.list(t, admin.Selector{}))
	gone, err = d.Discard(t.Context(), admin.Selector{}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, "3 parked and 1 held events", gone.String())
	require.Equal(t, []int64{6, 7}, d.list(t, admin.Selector{States: admin.States()}))
}

// What waits before a parked event of its key waits for its topic: the relay may
// be sending it.
func TestOnlyWhatComesLaterIsHeld(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.aside(t, 1, "waiting", "orders", "a", "no such topic")
	d.aside(t, 2, "parked", "orders", "a", "too large")
	d.aside(t, 3, "waiting", "orders", "a", "")
	require.Equal(t, []int64{2, 3}, d.list(t, admin.Selector{}))
	gone, err := d.Discard(t.Context(), admin.Selector{}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, "1 parked and 1 held events", gone.String())
	require.Equal(t, []int64{1}, d.list(t, admin.Selector{States: admin.States()}))
}

// The relay may be sending what carries a redrive, and what is behind that.
func TestDiscardLeavesWhatIsBeingSentAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := d.poisoned(t)
	_, err := d.Redrive(t.Context(), admin.Selector{Keys: []string{"a"}}, "alice")
	require.NoError(t, err)
	_, err = d.Discard(t.Context(), admin.Selector{IDs: []uuid.UUID{ids[0], ids[1]}}, true, "bob", "")
	var nothing *admin.NothingError
	require.ErrorAs(t, err, &nothing)
	require.Equal(t, admin.Counts{UnderWay: 1, Held: 1}, nothing.Counts)
	gone, err := d.Discard(t.Context(), admin.Selector{}, true, "bob", "")
	require.NoError(t, err)
	require.Equal(t, "2 parked events", gone.String())
	require.Equal(t, []int64{1, 2, 4}, d.list(t, admin.Selector{}))
}

// An event that the saved checkpoint has not passed would come back out of the
// log after a crash.
func TestDiscardWaitsForTheCheckpoint(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.exec(t, `INSERT INTO tandem.log (topic, key, payload) VALUES ('orders', 'a', 'x'), ('orders', 'a', 'y')`)
	parked := d.aside(t, 1, "parked", "orders", "a", "too large")
	d.aside(t, 2, "waiting", "orders", "a", "")
	_, err := d.Discard(t.Context(), admin.Selector{IDs: []uuid.UUID{parked}}, false, "alice", "")
	require.ErrorContains(t, err, "try again")
	d.exec(t, `INSERT INTO tandem.checkpoint (prev, cur, done) VALUES ('3:3:', pg_current_snapshot(), 1)`)
	gone, err := d.Discard(t.Context(), admin.Selector{}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, "1 parked events", gone.String())
}

func TestWaitFollowsARequest(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.poisoned(t)
	request, err := d.Redrive(t.Context(), admin.Selector{}, "alice")
	require.NoError(t, err)
	steps := []string{`UPDATE tandem.request SET started_at = clock_timestamp(), done = 1`,
		`UPDATE tandem.request SET done = 2, failed = 1, finished_at = clock_timestamp()`}
	var seen []int64
	ended, err := d.Wait(t.Context(), request.Number, func(r admin.Request) {
		seen = append(seen, r.Done)
		if len(steps) > 0 {
			d.exec(t, steps[0])
			steps = steps[1:]
		}
	})
	require.NoError(t, err)
	require.Equal(t, []int64{0, 1, 2}, seen)
	require.Equal(t, int64(1), ended.Failed)
	require.NotNil(t, ended.FinishedAt)

	_, err = d.Wait(t.Context(), 99, nil)
	require.ErrorContains(t, err, "no request 99")
	d.exec(t, `UPDATE tandem.request SET finished_at = NULL`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last, err := d.Wait(ctx, request.Number, func(admin.Request) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, int64(2), last.Done)
}

func TestWorking(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	holder, err := d.Working(t.Context())
	require.NoError(t, err)
	require.Empty(t, holder)
	d.exec(t, `UPDATE tandem.lease SET holder = 'host/1', expires_at = clock_timestamp() + interval '1 minute'`)
	holder, err = d.Working(t.Context())
	require.NoError(t, err)
	require.Equal(t, "host/1", holder)
}
