package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// term is one period of leadership: from a lease acquired to its end, with the
// goroutines that work in it and everything they know. Nothing of it outlives
// it but what was saved.
//
//	reader ──pages──► topics ──► lanes ──► broker
//	   ▲                            │ acknowledged
//	   └── room ◄── tracker ◄───────┘
//	                   └── checkpoint ──► keeper ──► database
//
// It ends in one of three ways. Stopped: the reader stops, the lanes publish
// what was read, the keeper saves. Failed: requests under way get an answer if
// the lease lasts that long, what they acknowledged is saved, the rest stays in
// the log. Aborted: nothing is waited for.
type term struct {
	*Relay
	log     *slog.Logger
	lease   *lease
	server  server
	tracker *tracker
	topics  map[string]*topic // the reader's own

	// Two contexts. Lanes take events while taking lasts; a request under way
	// goes on until publishing ends.
	taking     context.Context
	halt       context.CancelCauseFunc
	publishing context.Context
	working    sync.WaitGroup

	forced  chan struct{} // the keeper is to commit something now
	savedTo atomic.Pointer[checkpoint]
	readTo  atomic.Pointer[readMark]

	anchorsMu sync.Mutex
	anchors   anchors
}

// commitNow asks the keeper for a commit.
func (t *term) commitNow() { notify(t.forced) }

func (t *term) addAnchor(a anchor) {
	t.anchorsMu.Lock()
	defer t.anchorsMu.Unlock()
	t.anchors = t.anchors.add(a)
}

func (t *term) anchorBelow(xmax uint64) int64 {
	t.anchorsMu.Lock()
	defer t.anchorsMu.Unlock()
	return t.anchors.below(xmax)
}

// end ends the term for an error of one of its goroutines; the first counts.
func (t *term) end(err error) {
	if err != nil && !ended(t.taking, err) {
		t.halt(err)
	}
}

// term relays until ctx ends, the log is empty (with UntilEmpty), or something
// fails. conn holds the lease and becomes the keeper's; the caller closes it.
func (r *Relay) term(ctx context.Context, conn *pgx.Conn, s server, l *lease) error {
	log := r.log.With("epoch", l.epoch)
	reading, at, err := r.begin(ctx, s, l)
	if err != nil {
		// Nobody is to wait for the end of a lease that is of no use.
		ctx, cancel := context.WithTimeout(r.aborted, time.Second)
		defer cancel()
		_ = r.release(ctx, conn, l)
		return err
	}
	defer closeConn(reading)

	detached, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	stop := context.AfterFunc(r.aborted, func() { abort(errAborted) })
	defer stop()
	taking, halt := context.WithCancelCause(detached)
	publishing, cut := context.WithCancel(detached)
	defer cut()
	t := &term{
		Relay: r, log: log, lease: l, server: s, tracker: newTracker(at, r.cfg.BytesInFlight), topics: map[string]*topic{},
		taking: taking, halt: halt, publishing: publishing, forced: make(chan struct{}, 1),
	}
	t.savedTo.Store(&at)
	t.readTo.Store(&readMark{at: at, position: at.done})
	w := &watcher{term: t}
	r.watching.Store(w)
	defer r.watching.Store(nil)
	k := &keeper{term: t, conn: conn, saved: at, last: r.now()}
	keeping, stopKeeper := context.WithCancel(taking)
	defer stopKeeper()
	var keeper sync.WaitGroup
	keeper.Go(func() { t.end(k.run(keeping)) })
	t.working.Go(func() { t.end((&reclaimer{term: t, watcher: w}).run(taking)) })
	log.Info("relaying", "holder", r.cfg.Holder)

	err = t.work(ctx, &reader{term: t, conn: reading, at: at})

	// Requests under way get their answer while the lease can be trusted and
	// there is time left to save what they acknowledge.
	t.halt(err)
	timer := time.AfterFunc(max(0, l.left(r.now())-l.ttl/5), cut)
	t.working.Wait()
	timer.Stop()
	stopKeeper()
	keeper.Wait()
	return t.finish(detached, k, err)
}

// begin opens the connection that reads, and finds out where to begin, while the
// lease lasts.
func (r *Relay) begin(ctx context.Context, s server, l *lease) (*pgx.Conn, checkpoint, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.left(r.now()), errors.New("the lease ran out before the database answered"))
	defer cancel()
	conn, s2, err := r.connect(ctx)
	if err != nil {
		return nil, checkpoint{}, because(ctx, err)
	}
	var at checkpoint
	if s2 != s {
		err = errors.New("two connections reached two different servers")
	} else if at, err = r.readCheckpoint(ctx, conn, s); err != nil {
		err = because(ctx, err)
	}
	if err != nil {
		closeConn(conn)
	}
	return conn, at, err
}

// work reads and, once there is nothing more to be read, waits for the lanes.
func (t *term) work(ctx context.Context, rd *reader) error {
	reading, cancel := context.WithCancel(t.taking)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	err := rd.run(reading, t.cfg.UntilEmpty)
	if t.taking.Err() != nil {
		return context.Cause(t.taking)
	}
	if err != nil && !ended(reading, err) {
		return err
	}
	// A stop is bounded; a log that is to be emptied may take its time.
	drain, cancel := context.WithCancel(t.taking)
	defer cancel()
	stop = context.AfterFunc(ctx, func() { time.AfterFunc(t.cfg.DrainTimeout, cancel) })
	defer stop()
	if t.tracker.empty(drain) != nil {
		if t.taking.Err() != nil {
			return context.Cause(t.taking)
		}
		t.log.Warn("the drain timed out; these events stay in the log for the next relay", "events", t.tracker.left(), "timeout", t.cfg.DrainTimeout)
	}
	return nil
}

// finish saves what is done and gives the lease up, as far as the connection
// and the lease still allow it.
func (t *term) finish(ctx context.Context, k *keeper, err error) error {
	if errors.Is(err, errLeaseLost) || errors.Is(err, errAborted) || k.conn.IsClosed() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if saveErr := k.save(ctx); saveErr != nil {
		return errors.Join(err, fmt.Errorf("the last save: %w", saveErr))
	}
	if t.cfg.UntilEmpty && err == nil {
		if _, reclaimErr := t.reclaim(ctx, k.conn); reclaimErr != nil {
			t.log.Warn("cannot give space of the log back", "error", reclaimErr)
		}
	}
	if releaseErr := t.release(ctx, k.conn, t.lease); releaseErr != nil {
		return errors.Join(err, fmt.Errorf("give the lease up: %w", releaseErr))
	}
	return err
}

// readCheckpoint returns the newest save, if it can be believed here.
func (r *Relay) readCheckpoint(ctx context.Context, conn *pgx.Conn, now server) (checkpoint, error) {
	var at checkpoint
	var system, database *int64
	var timeline *int32
	var ahead, foreign bool
	err := conn.QueryRow(ctx, r.sql.checkpoint).Scan(&at.prev, &at.low, &at.cur, &at.done, &at.high,
		&system, &timeline, &database, &ahead, &foreign)
	remedy := fmt.Sprintf("if this database was restored, copied or failed over, see what was published and run tandem rebase --schema %s", r.cfg.Schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return at, &SetupError{Problem: "the checkpoint is empty, as in a dump taken while it was rewritten: what was published is not known", Remedy: remedy}
	}
	if err != nil {
		return at, explainDatabase(fmt.Errorf("read the checkpoint: %w", err))
	}
	differs := func(what string, saved, found any) error {
		return &SetupError{Problem: fmt.Sprintf("the checkpoint was saved on another %s (%v, this is %v): transaction ids mean nothing here", what, saved, found), Remedy: remedy}
	}
	switch {
	case system != nil && *system != now.system:
		return at, differs("cluster", *system, now.system)
	case timeline != nil && *timeline != now.timeline:
		return at, &SetupError{
			Problem: fmt.Sprintf("the server's timeline has changed from %d to %d since the checkpoint: a failover may have lost transactions whose events were already published", *timeline, now.timeline),
			Remedy:  remedy,
		}
	case database != nil && *database != now.database:
		return at, differs("database", *database, now.database)
	case ahead:
		return at, &SetupError{Problem: "the checkpoint is ahead of the server's transaction ids: this is an older copy of the database", Remedy: remedy}
	case foreign:
		return at, &SetupError{Problem: "the log holds events of transactions that this server has not begun yet: they were restored from elsewhere", Remedy: remedy}
	}
	return at, nil
}
