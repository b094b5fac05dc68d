package relay

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// begin opens the connection that reads, and finds out where to begin. That may take
// longer than the lease (a slow server, a million events that are set aside), so conn
// keeps that meanwhile.
func (r *Relay) begin(ctx context.Context, conn *pgx.Conn, s server, l *lease) (*pgx.Conn, beginning, error) {
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	done := make(chan struct{})
	kept := make(chan error, 1)
	go func() {
		err := r.keep(done, conn, l)
		if err != nil {
			lose(err)
		}
		kept <- err
	}()
	reading, b, err := r.find(ctx, s)
	close(done)
	if lost := <-kept; lost != nil && err == nil {
		closeConn(reading)
		err = lost
	}
	return reading, b, err
}

// keep renews the lease every third of it until done, and then once more where two
// fifths of it are over: the next renewal is the keeper's, a third later.
func (r *Relay) keep(done <-chan struct{}, conn *pgx.Conn, l *lease) error {
	tick := time.NewTicker(l.ttl / 3)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-done:
			if over = true; l.left(r.now()) > l.ttl/2 {
				return nil
			}
		case <-tick.C:
		}
		// Not cut short by the end of Run: that would cost the connection.
		ctx, cancel := context.WithTimeoutCause(r.aborted, max(time.Millisecond, l.left(r.now())), errors.New("the lease ran out before the database answered"))
		err := r.renew(ctx, conn, l)
		cancel()
		if err != nil {
			return because(ctx, err)
		}
	}
	return nil
}

// findLeases is how many leases it may take to find out where to begin, on a
// connection that has just answered: if the network has swallowed the question, the
// lease is kept for that long in vain.
const findLeases = 4

// find opens the connection that reads, and finds out where to begin.
func (r *Relay) find(ctx context.Context, s server) (*pgx.Conn, beginning, error) {
	limit := r.cfg.Lease
	connecting, cancel := context.WithTimeoutCause(ctx, limit, noAnswer(limit))
	defer cancel()
	conn, s2, err := r.connect(connecting)
	if err != nil {
		return nil, beginning{}, because(connecting, err)
	}
	ctx, cancel = context.WithTimeoutCause(ctx, findLeases*limit, noAnswer(findLeases*limit))
	defer cancel()
	var b beginning
	if s2 != s {
		err = errors.New("two connections reached two different servers")
	} else {
		b, err = r.whereToBegin(ctx, conn, s)
	}
	if err != nil {
		closeConn(conn)
	}
	return conn, b, because(ctx, err)
}

// whereToBegin looks at the schema's version too: it may have been migrated since
// this relay started.
func (r *Relay) whereToBegin(ctx context.Context, conn *pgx.Conn, s server) (beginning, error) {
	if _, err := r.checkVersion(ctx, conn); err != nil {
		return beginning{}, err
	}
	b, err := r.readCheckpoint(ctx, conn, s)
	if err == nil {
		b.aside, b.ahead, err = r.readAside(ctx, conn)
	}
	return b, err
}

// beginning is what a term goes by.
type beginning struct {
	at     checkpoint
	claims []string
	aside  map[string]found
	ahead  bool // some of it lies beyond the checkpoint
}
