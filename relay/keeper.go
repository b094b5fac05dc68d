package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// keeper renews the lease and saves the checkpoint, both on its own connection.
type keeper struct {
	*term
	conn  *pgx.Conn
	saved checkpoint
	told  []string // the claims of the last save
	saves int
	last  time.Time // of the last save
	fresh time.Time // when the lease was last renewed
}

// Every so many saves the checkpoint table is cut back to its newest row.
const (
	compactEvery = 4096
	compactRetry = 64
)

// run ends with ctx, or with an error that ends the term.
func (k *keeper) run(ctx context.Context) error {
	renewal := time.NewTicker(k.cfg.Lease / 3)
	defer renewal.Stop()
	// What moved without an event, past empty windows, is saved at leisure.
	leisure := time.NewTicker(10 * time.Second)
	defer leisure.Stop()
	due := time.NewTimer(0)
	due.Stop()
	defer due.Stop()
	armed := false
	if err := k.count(ctx); err != nil {
		return err
	}
	k.beat(k.conn)
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-renewal.C:
			err = k.renew(ctx)
		case <-leisure.C:
			err = k.save(ctx)
		case <-k.tracker.dirty:
			if !armed {
				armed = true
				due.Reset(max(0, k.cfg.SaveEvery-k.now().Sub(k.last)))
			}
		case <-due.C:
			armed = false
			err = k.save(ctx)
		case <-k.forced:
			err = k.commit(ctx)
		case <-k.claims.wake:
			err = k.claimed(ctx)
		case done := <-k.flushes:
			if err = k.save(ctx); err == nil {
				close(done)
			}
		case done := <-k.commits:
			if err = k.commit(ctx); err == nil {
				close(done)
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// statement bounds one statement by the lease, but not by the end of the term:
// a cancelled statement would cost the connection, and with it the last save.
func (k *keeper) statement(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), max(time.Millisecond, k.lease.left(k.now())))
}

// count begins with what earlier terms have left, each of which may be short.
func (k *keeper) count(ctx context.Context) error {
	ctx, cancel := k.statement(ctx)
	defer cancel()
	if err := k.conn.QueryRow(ctx, k.sql.saves).Scan(&k.saves); err != nil {
		return fmt.Errorf("count the checkpoint's rows: %w", err)
	}
	return nil
}

func (k *keeper) renew(ctx context.Context) error {
	ctx, cancel := k.statement(ctx)
	defer cancel()
	if err := k.Relay.renew(ctx, k.conn, k.lease); err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	k.fresh = k.now()
	k.beat(k.conn)
	return nil
}

// save saves the checkpoint if it has moved, and what was set aside.
func (k *keeper) save(ctx context.Context) error {
	at := k.tracker.checkpoint()
	return k.saveWith(ctx, at, k.asides.take(), false)
}

// commit saves in any case: a durable commit of whatever comes before it in the WAL.
func (k *keeper) commit(ctx context.Context) error {
	at := k.tracker.checkpoint()
	return k.saveWith(ctx, at, k.asides.take(), true)
}

// saveWith saves what was taken, which is all that the checkpoint at rests on,
// and then at itself. What is too much for one save goes before it.
func (k *keeper) saveWith(ctx context.Context, at checkpoint, taken *asides, always bool) error {
	for {
		part, last := taken.next()
		to := k.saved
		if last {
			to = at
		}
		claims := k.claims.saved(to)
		if last && !always && at == k.saved && len(part.entries) == 0 && len(part.released) == 0 && slices.Equal(claims, k.told) {
			return nil
		}
		if err := k.write(ctx, to, claims, part); err != nil {
			k.asides.giveBack(taken)
			k.asides.giveBack(part)
			return err
		}
		if last {
			break
		}
		if k.now().Sub(k.fresh) > k.cfg.Lease/3 { // many parts take their time
			if err := k.renew(ctx); err != nil {
				k.asides.giveBack(taken)
				return err
			}
		}
	}
	if k.saves++; k.saves >= compactEvery && k.saves%compactRetry == 0 {
		return k.compact(ctx)
	}
	return nil
}

// write is one save.
func (k *keeper) write(ctx context.Context, at checkpoint, claims []string, part *asides) error {
	ctx, cancel := k.statement(ctx)
	defer cancel()
	aside, released, err := part.arguments()
	if err != nil {
		return err
	}
	var tx string
	var position int64
	err = k.conn.QueryRow(ctx, k.sql.save, k.lease.owner, k.lease.epoch, at.prev, at.low, at.cur, at.done, at.high,
		k.server.system, k.server.timeline, k.server.database, claims, aside, released).Scan(&tx, &position)
	if errors.Is(err, pgx.ErrNoRows) {
		return errLeaseLost
	}
	if err != nil {
		return fmt.Errorf("save the checkpoint: %w", err)
	}
	xid, err := strconv.ParseUint(tx, 10, 64)
	if err != nil {
		return fmt.Errorf("save the checkpoint: %w", err)
	}
	k.addAnchor(anchor{tx: xid, position: position})
	k.stats.saves.Add(1)
	k.saved, k.last, k.told = at, k.now(), claims
	k.savedTo.Store(&at)
	if part.has(stateScheduled) {
		notify(k.schedule.wake)
	}
	return nil
}

// compact gives up at once when somebody holds the table, a dump for instance.
func (k *keeper) compact(ctx context.Context) error {
	ctx, cancel := k.statement(ctx)
	defer cancel()
	var done bool
	err := k.conn.QueryRow(ctx, k.sql.compact, k.lease.owner, k.lease.epoch).Scan(&done)
	switch {
	case locked(err):
		return nil
	case err != nil:
		return fmt.Errorf("cut the checkpoint table back: %w", err)
	case !done:
		return errLeaseLost
	}
	k.saves = 0
	return nil
}
