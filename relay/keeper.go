package relay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// keeper renews the lease and saves the checkpoint, both on its own connection.
type keeper struct {
	*term
	conn  *pgx.Conn
	saved checkpoint
	saves int
	last  time.Time // of the last save
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
			err = k.commit(ctx, k.tracker.checkpoint())
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
	return nil
}

// save saves the checkpoint if it has moved.
func (k *keeper) save(ctx context.Context) error {
	at := k.tracker.checkpoint()
	if at == k.saved {
		return nil
	}
	return k.commit(ctx, at)
}

// commit saves the checkpoint in any case: a durable commit of whatever comes
// before it in the WAL.
func (k *keeper) commit(ctx context.Context, at checkpoint) error {
	ctx, cancel := k.statement(ctx)
	defer cancel()
	var tx string
	var position int64
	err := k.conn.QueryRow(ctx, k.sql.save, k.lease.owner, k.lease.epoch, at.prev, at.low, at.cur, at.done, at.high,
		k.server.system, k.server.timeline, k.server.database, nil, nil, nil).Scan(&tx, &position)
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
	k.saved, k.last = at, k.now()
	k.savedTo.Store(&at)
	if k.saves++; k.saves >= compactEvery && k.saves%compactRetry == 0 {
		return k.compact(ctx)
	}
	return nil
}

// compact gives up at once when somebody holds the table, a dump for instance.
func (k *keeper) compact(ctx context.Context) error {
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
