package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The lease is one row: who relays (owner, random for each Relay), in which
// term (epoch, one more for each), until when (expires_at, by the database's
// clock).
//
//	free ──acquire──► held ──renew, every third──► held
//	 ▲                 │ release (clean stop: at once)
//	 └─────────────────┴ expiry (crash: after at most Config.Lease)
//
// Trust. The holder's own clock only measures durations. It trusts a lease from
// the moment it *sent* the statement that got a yes, for nine tenths of the
// lease time, so trust ends before the row expires even if the answer was slow
// and the clocks' rates differ by a tenth. Both the monotonic and the wall clock
// must agree: the first stands still while a virtual machine is suspended, the
// second can be set back. Trust is looked at right before each request to the
// broker.
//
// Fence. The statement that saves a checkpoint share-locks the row and compares
// owner and epoch, so nobody saves in another's term, whatever the clocks say.
//
// Clocks. That of the database may stand wrong, but is expected to run: set forward,
// it ends a lease early, and two relays publish until the first one saves or renews
// next, which the fence refuses.
//
// What is left to chance: a request that has passed that look when the process
// is frozen, whether or not it is on the wire, arrives whenever it arrives: one
// for each lane. It can only repeat events that the successor publishes too, and
// in order, because everything before it in its lane was acknowledged or set aside;
// but for events that the successor drops meanwhile, expired or discarded, which
// then appear all the same.
//
// DESIGN.md has what a crash and what SIGSTOP leave at each step.
type lease struct {
	owner uuid.UUID
	epoch int64
	ttl   time.Duration

	mu      sync.Mutex
	started time.Time // when the last successful attempt was sent
	// How far the database's clock is ahead of ours, at most: it was read after
	// started.
	ahead time.Duration
	lost  bool
}

// acquire returns nil without an error while another relay holds the lease. It
// is not cut short by the end of Run's context: a lease that is acquired and not
// known of would keep the others waiting.
func (r *Relay) acquire(conn *pgx.Conn) (*lease, error) {
	ctx, cancel := context.WithTimeoutCause(r.aborted, r.cfg.Lease, noAnswer(r.cfg.Lease))
	defer cancel()
	started := r.now()
	l := &lease{owner: r.owner, ttl: r.cfg.Lease, started: started}
	var now time.Time
	err := conn.QueryRow(ctx, r.sql.acquire, r.owner, r.cfg.Holder, r.cfg.Lease.Microseconds()).Scan(&l.epoch, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, because(ctx, err)
	}
	l.ahead = now.Sub(started)
	return l, nil
}

func (r *Relay) renew(ctx context.Context, conn *pgx.Conn, l *lease) error {
	started := r.now()
	var now time.Time
	err := conn.QueryRow(ctx, r.sql.renew, l.owner, l.epoch, l.ttl.Microseconds()).Scan(&now)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.lost = true
		return errLeaseLost
	}
	l.started, l.ahead = started, now.Sub(started)
	return nil
}

// release lets a standby take over at once.
func (r *Relay) release(ctx context.Context, conn *pgx.Conn, l *lease) error {
	l.mu.Lock()
	l.lost = true
	l.mu.Unlock()
	_, err := conn.Exec(ctx, r.sql.release, l.owner, l.epoch)
	return err
}

// left is for how much longer the holder may trust the lease at now.
func (l *lease) left(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return 0
	}
	trust := l.ttl - l.ttl/10
	monotonic := now.Sub(l.started)
	wall := now.Round(0).Sub(l.started.Round(0))
	return trust - max(monotonic, wall)
}

// databaseTime is no earlier than what the database's clock shows now, and later
// by the time that its last answer took.
func (t *term) databaseTime() time.Time {
	t.lease.mu.Lock()
	defer t.lease.mu.Unlock()
	return t.now().Add(t.lease.ahead)
}
