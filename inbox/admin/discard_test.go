package admin_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/admin"
)

func TestDiscard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	gone, err := d.Discard(t.Context(), admin.Selector{Consumers: []string{"billing"}}, false, "alice", "ticket 7")
	require.NoError(t, err)
	require.Equal(t, "3 parked messages", gone.String()) // the retrying one too
	require.Equal(t, []int64{n[1], n[3], n[5]}, d.list(t, admin.Selector{}))
	require.Equal(t, "billing:0:1 billing:1:1 mail:0:0", d.changed(t))
	require.Equal(t, "billing orders 0 10 m1 order.placed a discarded ticket 7 alice",
		d.text(t, `SELECT concat_ws(' ', consumer, topic, partition, position, message_id, type, convert_from(key, 'UTF8'), kind, why, by)
			FROM tandem.inbox_dropped ORDER BY dropped LIMIT 1`))
	require.Equal(t, "3", d.text(t, `SELECT count(*)::text FROM tandem.inbox_dropped`))
	require.Equal(t, "false", d.text(t, `SELECT tandem.once('billing', 'm1')::text`), "a repetition is a duplicate")
	// The held ones go on; to give these up too is to say so.
	_, err = d.Discard(t.Context(), admin.Selector{IDs: []string{"m2"}}, false, "alice", "")
	require.ErrorContains(t, err, "goes on by itself")
	gone, err = d.Discard(t.Context(), admin.Selector{IDs: []string{"m2"}}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, admin.Discarded{Held: 1}, gone)
}

func TestDiscardOfHeldMessages(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	_, err := d.Discard(t.Context(), admin.Selector{IDs: []string{"m4"}}, false, "alice", "")
	require.ErrorContains(t, err, "held (1 messages), behind 1")
	require.Equal(t, "billing:0:0 billing:1:0 mail:0:0", d.changed(t))
	gone, err := d.Discard(t.Context(), admin.Selector{IDs: []string{"m4"}}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, admin.Discarded{Held: 1}, gone)
	require.Equal(t, "billing:0:1 billing:1:0 mail:0:0", d.changed(t))
	gone, err = d.Discard(t.Context(), admin.Selector{Keys: [][]byte{[]byte("a")}}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, "2 parked and 1 held messages", gone.String())
	require.Equal(t, []int64{n[2], n[4]}, d.list(t, admin.Selector{}))
}

// What an operator has asked for is being handled, and then what is behind it.
func TestDiscardLeavesWhatIsBeingHandledAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	_, err := d.Redrive(t.Context(), admin.Selector{Aside: n[:1]}, "alice")
	require.NoError(t, err)
	_, err = d.Discard(t.Context(), admin.Selector{Aside: n[:2]}, true, "bob", "")
	var nothing *admin.NothingError
	require.ErrorAs(t, err, &nothing)
	require.Equal(t, admin.Counts{UnderWay: 1, Held: 1}, nothing.Counts)
	gone, err := d.Discard(t.Context(), admin.Selector{}, true, "bob", "")
	require.NoError(t, err)
	require.Equal(t, "3 parked messages", gone.String())
	require.Equal(t, []int64{n[0], n[1], n[3]}, d.list(t, admin.Selector{}))
}

// The schema's name is not part of what is done.
func TestTwoSchemas(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.poisoned(t)
	second := secondSchema(t, d)
	require.Empty(t, second.list(t, admin.Selector{}))
	d.exec(t, `SELECT messages.claim_inbox_partition('billing', 'orders', 0, 'host/1')`)
	d.exec(t, `INSERT INTO messages.inbox_aside (consumer, topic, partition, position, digest, lane, scope, state, parked_at, sent_at)
		VALUES ('billing', 'orders', 0, 1, '', '', 'partition', 'parked', now(), now()), ('billing', 'orders', 0, 2, '', 'x', 'none', 'parked', now(), now())`)
	redrive, err := second.Redrive(t.Context(), admin.Selector{Offset: pointer[int64](1)}, "alice")
	require.NoError(t, err)
	require.Equal(t, 1, redrive.Total)
	gone, err := second.Discard(t.Context(), admin.Selector{}, true, "alice", "")
	require.NoError(t, err)
	require.Equal(t, admin.Discarded{First: 1}, gone)
	require.Equal(t, "2", d.text(t, `SELECT changed::text FROM messages.inbox_partition`))
	_, err = second.Show(t.Context(), admin.Selector{Offset: pointer[int64](2)})
	require.ErrorContains(t, err, "it was discarded")
	status, err := second.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), status.Consumers[0].Aside.UnderWay)
	_, err = second.Maintain(t.Context())
	require.NoError(t, err)
	found, err := second.Diagnose(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	// The first schema has seen none of it.
	require.Equal(t, "billing:0:0 billing:1:0 mail:0:0", d.changed(t))
	require.Empty(t, d.asked(t))
	require.Len(t, d.list(t, admin.Selector{}), 6)
}

// Operators and a consumer at once: nobody waits for ever, nothing is taken twice,
// and every message ends as handled or as discarded.
func TestOperatorsAndAConsumerAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const lanes, held = 60, 2
	for partition := range 3 {
		d.claimed(t, "billing", "orders", partition)
	}
	for lane := range lanes {
		for place := range held + 1 {
			state := "held"
			if place == 0 {
				state = "parked"
			}
			d.aside(t, row{consumer: "billing", topic: "orders", partition: lane % 3, offset: int64(lane*10 + place), id: fmt.Sprintf("m%d-%d", lane, place), key: fmt.Sprint(lane), state: state})
		}
	}
	handled := make(chan int64, lanes*(held+1))
	var owners, operators sync.WaitGroup
	stop := make(chan struct{})
	for partition := range 3 {
		owners.Go(func() { d.own(t, partition, stop, handled) })
	}
	var mu sync.Mutex
	var discarded int64
	for worker := range 4 {
		operators.Go(func() {
			for lane := worker; lane < lanes; lane += 2 { // two of them at the same lanes
				s := admin.Selector{Keys: [][]byte{[]byte(fmt.Sprint(lane))}}
				var err error
				if worker%2 == 0 {
					_, err = d.Redrive(t.Context(), s, "alice")
				} else {
					var gone admin.Discarded
					gone, err = d.Discard(t.Context(), s, lane%3 == 0, "bob", "")
					mu.Lock()
					discarded += gone.First + gone.Held
					mu.Unlock()
				}
				var nothing *admin.NothingError
				if err != nil && !errors.As(err, &nothing) {
					t.Error(err)
				}
			}
		})
	}
	operators.Wait()
	// What is left is asked for until it is gone.
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		_, err := d.Redrive(t.Context(), admin.Selector{}, "alice")
		var nothing *admin.NothingError
		if errors.As(err, &nothing) && nothing.Counts == (admin.Counts{}) {
			break
		}
		if err != nil && nothing == nil {
			require.NoError(t, err)
		}
	}
	close(stop)
	owners.Wait()
	close(handled)
	seen := map[int64]bool{}
	for number := range handled {
		require.False(t, seen[number], "handled twice: %d", number)
		seen[number] = true
	}
	require.Equal(t, lanes*(held+1), len(seen)+int(discarded))
	require.Equal(t, fmt.Sprint(discarded), d.text(t, `SELECT count(*)::text FROM tandem.inbox_dropped`))
}

// own works on a partition as a consumer does: it handles, in a transaction that
// has locked it, what an operator has asked for, and what nothing parked is before;
// it also updates its partition's row beforehand, which the operators' order of
// locks has to bear.
func (d *desk) own(t *testing.T, partition int, stop chan struct{}, handled chan int64) {
	ctx := t.Context()
	for {
		select {
		case <-stop:
			return
		default:
		}
		number, err := d.ownOne(ctx, partition)
		if err != nil {
			t.Error(err)
			return
		}
		if number != 0 {
			handled <- number
		}
	}
}

func (d *desk) ownOne(ctx context.Context, partition int) (number int64, err error) {
	err = pgx.BeginFunc(ctx, d.owner, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE tandem.inbox_partition SET seen_at = clock_timestamp() WHERE partition = $1`, partition); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `SELECT a.aside FROM tandem.inbox_aside AS a WHERE a.partition = $1 AND (a.redrive OR a.state = 'held')
			AND NOT EXISTS (SELECT FROM tandem.inbox_aside AS b WHERE b.lane = a.lane AND b.aside < a.aside) ORDER BY a.aside LIMIT 1`, partition).Scan(&number)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = tx.Exec(ctx, `SELECT pg_sleep(0.001)`)
			return err
		}
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `SELECT FROM tandem.inbox_aside WHERE aside = $1 FOR UPDATE`, number)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 { // an operator was faster
			number = 0
			return nil
		}
		_, err = tx.Exec(ctx, `DELETE FROM tandem.inbox_aside WHERE aside = $1`, number)
		return err
	})
	return number, err
}
