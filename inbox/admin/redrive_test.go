package admin_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/admin"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

func TestRedriveMarksMessagesOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	first, err := d.Redrive(t.Context(), admin.Selector{Consumers: []string{"billing"}, Keys: [][]byte{[]byte("a")}}, "alice")
	require.NoError(t, err)
	require.Equal(t, 1, first.Total)
	require.Equal(t, 1, first.Waiting)
	require.Equal(t, "1:alice", d.asked(t))
	require.Equal(t, "billing:0:1 billing:1:0 mail:0:0", d.changed(t))

	second, err := d.Redrive(t.Context(), admin.Selector{}, "bob")
	require.NoError(t, err)
	require.Equal(t, 3, second.Total) // the retrying one too
	require.Equal(t, "1:alice 3:bob 5:bob 6:bob", d.asked(t))
	require.Equal(t, "billing:0:2 billing:1:1 mail:0:1", d.changed(t))

	_, err = d.Redrive(t.Context(), admin.Selector{}, "carol")
	var nothing *admin.NothingError
	require.ErrorAs(t, err, &nothing)
	require.Equal(t, admin.Counts{UnderWay: 4, Held: 2}, nothing.Counts)
	require.ErrorContains(t, err, "being handled again already (4 messages)")
	_, err = d.Redrive(t.Context(), admin.Selector{IDs: []string{"m2", "m4"}}, "carol")
	require.ErrorAs(t, err, &nothing)
	require.Equal(t, n[:1], nothing.Behind)
	require.ErrorContains(t, err, "held (2 messages), behind 1")
	_, err = d.Redrive(t.Context(), admin.Selector{IDs: []string{"none"}}, "carol")
	require.ErrorContains(t, err, "tandem inbox parked list")
	require.Equal(t, "billing:0:2 billing:1:1 mail:0:1", d.changed(t))
}

// A held message whose front has gone is its consumer's to go on with.
func TestRedriveOfWhatGoesOnByItself(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	_, err := d.Discard(t.Context(), admin.Selector{Aside: n[:1]}, false, "alice", "")
	require.NoError(t, err)
	_, err = d.Redrive(t.Context(), admin.Selector{IDs: []string{"m2"}}, "alice")
	require.ErrorContains(t, err, "goes on by itself")
}

// What a batch holds at this moment is neither waited for nor taken; the
// partition's row, on which it has a share lock, can be changed all the same.
func TestOperatorsDoNotWaitForABatch(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	release := d.locked(t, n[0], n[2])
	redrive, err := d.Redrive(t.Context(), admin.Selector{Consumers: []string{"billing"}}, "alice")
	require.NoError(t, err)
	require.Equal(t, 1, redrive.Total)
	require.Equal(t, "5:alice", d.asked(t))
	require.Equal(t, "billing:0:0 billing:1:1 mail:0:0", d.changed(t))
	_, err = d.Redrive(t.Context(), admin.Selector{Aside: n[:1]}, "alice")
	require.ErrorContains(t, err, "try again")
	// Nor the held ones behind what is locked.
	_, err = d.Discard(t.Context(), admin.Selector{Aside: n[1:2]}, true, "alice", "")
	var nothing *admin.NothingError
	require.ErrorAs(t, err, &nothing)
	release()
	gone, err := d.Discard(t.Context(), admin.Selector{Aside: n[1:2]}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, int64(1), gone.Held)
}

// An owner may change its partition's row first and lock messages then. Whoever
// waits for that row must not have a message locked.
func TestOperatorsWaitForAPartitionWithNothingLocked(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	for name, change := range map[string]func() error{
		"redrive": func() error { _, err := d.Redrive(t.Context(), admin.Selector{Aside: n[:1]}, "alice"); return err },
		"discard": func() error {
			_, err := d.Discard(t.Context(), admin.Selector{Aside: n[2:3]}, true, "alice", "")
			return err
		},
	} {
		tx, err := d.owner.Begin(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		_, err = tx.Exec(t.Context(), `UPDATE tandem.inbox_partition SET seen_at = clock_timestamp()`)
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- change() }()
		testinbox.AwaitBlocked(t, d.owner, 1)
		_, err = tx.Exec(t.Context(), `SELECT FROM tandem.inbox_aside ORDER BY aside FOR UPDATE NOWAIT`)
		require.NoError(t, err, name)
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, <-ended, name)
	}
}

func TestUnattended(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.poisoned(t)
	redrive, err := d.Redrive(t.Context(), admin.Selector{}, "alice")
	require.NoError(t, err)
	gone, err := d.Unattended(t.Context(), redrive)
	require.NoError(t, err)
	require.Empty(t, gone)
	d.exec(t, `UPDATE tandem.inbox_partition SET seen_at = clock_timestamp() - interval '5 minutes' WHERE consumer = 'billing' AND partition = 1`)
	gone, err = d.Unattended(t.Context(), redrive)
	require.NoError(t, err)
	require.Len(t, gone, 1)
	require.Regexp(t, `^nobody consumes orders/1 for billing: host/1 was last seen \d+m\d+s ago$`, gone[0].String())
}

// fakeOwner handles what is asked for, one message at a time, as a consumer does:
// with the partition's row locked against being claimed, and the message's. Those
// of fails fail.
func (d *desk) fakeOwner(t *testing.T, fails map[int64]string) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := d.handleOne(ctx, fails); err != nil && ctx.Err() == nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

func (d *desk) handleOne(ctx context.Context, fails map[int64]string) error {
	tx, err := d.owner.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err = tx.Exec(ctx, `SELECT FROM tandem.inbox_partition WHERE consumer = 'billing' FOR KEY SHARE`); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT aside FROM tandem.inbox_aside WHERE redrive ORDER BY aside LIMIT 1 FOR UPDATE`)
	if err != nil {
		return err
	}
	var number int64
	for rows.Next() {
		if err := rows.Scan(&number); err != nil {
			return err
		}
	}
	if rows.Err() != nil {
		return rows.Err()
	}
	switch text, fail := fails[number]; {
	case number == 0: // wait a little, in the database
		_, err = tx.Exec(ctx, `SELECT pg_sleep(0.01)`)
	case fail:
		_, err = tx.Exec(ctx, `UPDATE tandem.inbox_aside SET redrive = false, state = 'parked', due_at = NULL, parked_at = coalesce(parked_at, clock_timestamp()),
			attempts = attempts + 1, error = $2 WHERE aside = $1`, number, text)
	default:
		_, err = tx.Exec(ctx, `DELETE FROM tandem.inbox_aside WHERE aside = $1`, number)
	}
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func TestWaitFollowsARedrive(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	redrive, err := d.Redrive(t.Context(), admin.Selector{}, "alice")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	last, err := d.Wait(ctx, redrive, nil) // nobody is there
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 4, last.Waiting)

	d.fakeOwner(t, map[int64]string{n[2]: "still no such account"})
	var moves int
	ended, err := d.Wait(t.Context(), redrive, func(admin.Redrive) { moves++ })
	require.NoError(t, err)
	require.Positive(t, moves)
	require.Equal(t, 3, ended.Handled)
	require.Equal(t, 1, ended.Failed)
	require.Zero(t, ended.Waiting)
	require.Equal(t, []admin.Failure{{Aside: n[2], Consumer: "billing", Topic: "orders", Offset: 12, ID: "m3", State: admin.Parked, Error: "still no such account"}}, ended.Failures)
	require.Equal(t, []int64{n[1], n[2], n[3]}, d.list(t, admin.Selector{}))
}
