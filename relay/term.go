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

	"github.com/tandem-outbox/tandem/internal/advice"
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
	log      *slog.Logger
	lease    *lease
	server   server
	tracker  *tracker
	asides   asides
	claims   claims
	store    *store
	schedule *schedule
	requests *requests
	replayer *replayer
	ahead    bool         // an earlier term has set aside what this one reads again
	acked    atomic.Int64 // requests of all lanes that were acknowledged
	failures atomic.Int64 // lanes and topics that fail at the moment
	losses   losses

	dispatching sync.Mutex
	topicsMu    sync.Mutex
	topics      map[string]*topic

	// Two contexts. Lanes take events while taking lasts; a request under way
	// goes on until publishing ends.
	taking     context.Context
	halt       context.CancelCauseFunc
	publishing context.Context
	working    sync.WaitGroup

	forced  chan struct{}      // the keeper is to commit something now
	flushes chan chan struct{} // it is to save what there is, and say so
	commits chan chan struct{} // it is to commit in any case, and say so
	savedTo atomic.Pointer[checkpoint]
	readTo  atomic.Pointer[readMark]

	anchorsMu sync.Mutex
	anchors   anchors
}

// commitNow asks the keeper for a commit.
func (t *term) commitNow() { notify(t.forced) }

// flush returns once all that has been set aside, released or acknowledged before
// is saved.
func (t *term) flush(ctx context.Context) error { return ask(ctx, t.flushes) }

// commitAfter returns once a commit that began after the call is durable.
func (t *term) commitAfter(ctx context.Context) error { return ask(ctx, t.commits) }

func ask(ctx context.Context, keeper chan<- chan struct{}) error {
	done := make(chan struct{})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case keeper <- done:
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return nil
	}
}

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
	reading, begun, err := r.begin(ctx, conn, s, l)
	if err != nil {
		// Nobody is to wait for the end of a lease that is of no use.
		ctx, cancel := context.WithTimeout(r.aborted, 5*time.Second)
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
	t := newTerm(r, begun)
	t.log, t.lease, t.server = log, l, s
	t.taking, t.halt, t.publishing = taking, halt, publishing
	defer t.store.close()
	w := &watcher{term: t}
	r.watching.Store(w)
	defer r.watching.Store(nil)
	k := &keeper{term: t, conn: conn, saved: begun.at, told: begun.claims, last: r.now(), fresh: r.now()}
	keeping, stopKeeper := context.WithCancel(taking)
	defer stopKeeper()
	var keeper sync.WaitGroup
	keeper.Go(func() { t.end(k.run(keeping)) })
	t.working.Go(func() { t.end((&reclaimer{term: t, watcher: w}).run(taking)) })
	t.working.Go(func() { t.end(t.schedule.run(taking, ctx)) })
	t.working.Go(func() { t.end(t.requests.run(taking)) })
	t.working.Go(func() { t.end(t.replayer.run(taking, ctx)) })
	t.resume(begun.aside)
	r.current.Store(t)
	defer r.current.Store(nil)
	log.Info("relaying", "holder", r.cfg.Holder)

	err = t.work(ctx, &reader{term: t, conn: reading, at: begun.at})

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

// newTerm makes a term's parts, as an earlier one has left things.
func newTerm(r *Relay, begun beginning) *term {
	t := &term{
		Relay: r, tracker: newTracker(begun.at, r.cfg.BytesInFlight), topics: map[string]*topic{}, ahead: begun.ahead,
		claims: claims{earlier: begun.claims, wake: make(chan struct{}, 1)},
		forced: make(chan struct{}, 1), flushes: make(chan chan struct{}), commits: make(chan chan struct{}),
	}
	t.asides.dirty = t.tracker.dirty
	t.readTo.Store(&readMark{at: begun.at, position: begun.at.done})
	t.savedTo.Store(&begun.at)
	t.store = &store{term: t}
	t.schedule = &schedule{term: t, wake: make(chan struct{}, 1), inFlight: map[int64]struct{}{}}
	t.requests = &requests{term: t, seen: map[int64][]string{}}
	t.replayer = newReplayer(t)
	return t
}

// whileBoth ends when the first of the two does, and has the values of a.
func whileBoth(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// work reads and, once there is nothing more to be read, waits for the lanes.
func (t *term) work(ctx context.Context, rd *reader) error {
	reading, cancel := whileBoth(t.taking, ctx)
	defer cancel()
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
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(t.cfg.DrainTimeout, cancel) })
	defer stop()
	staying := func() int { return 0 }
	if !t.cfg.UntilEmpty {
		// What cannot be sent keeps nobody waiting.
		staying = func() int { return t.stranded() - t.schedule.underWay() }
	}
	err = t.tracker.empty(drain, staying)
	if err == nil && t.cfg.UntilEmpty {
		err = t.settle(drain)
	}
	if err != nil {
		if t.taking.Err() != nil {
			return context.Cause(t.taking)
		}
		t.log.Warn("the drain timed out; these events stay in the log for the next relay", "events", t.tracker.left(), "timeout", t.cfg.DrainTimeout)
	}
	return nil
}

// settle waits until what was set aside before has had its chance: operators'
// requests, scheduled events that are due, topics that can be written to again.
func (t *term) settle(ctx context.Context) error {
	if err := t.flush(ctx); err != nil {
		return err
	}
	t.schedule.ask()
	for t.busy() {
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return t.requests.look(ctx)
}

func (t *term) busy() bool {
	if !t.requests.looked.Load() || !t.schedule.idle() || t.replayer.wanted.Load() {
		return true
	}
	t.topicsMu.Lock()
	defer t.topicsMu.Unlock()
	for _, tp := range t.topics {
		if tp.busy() {
			return true
		}
	}
	return false
}

// stranded is how many events wait for topics and partitions that cannot be
// written to at the moment.
func (t *term) stranded() int {
	t.topicsMu.Lock()
	defer t.topicsMu.Unlock()
	n := 0
	for _, tp := range t.topics {
		n += tp.stranded()
	}
	return n
}

// finish saves what is done and gives the lease up, as far as the connection
// and the lease still allow it.
func (t *term) finish(ctx context.Context, k *keeper, err error) error {
	if errors.Is(err, errLeaseLost) || errors.Is(err, errAborted) {
		return err
	}
	if k.conn.IsClosed() {
		return errors.Join(err, errors.New("the database was lost before the last save"))
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
	if err == nil {
		t.log.Info("stopped: what was published is saved, and the lease given up")
	}
	return err
}

// readCheckpoint returns the newest save, if it can be believed here.
func (r *Relay) readCheckpoint(ctx context.Context, conn *pgx.Conn, now server) (beginning, error) {
	var begun beginning
	at := &begun.at
	var system, database *int64
	var timeline *int32
	var ahead, foreign bool
	err := conn.QueryRow(ctx, r.sql.checkpoint).Scan(&at.prev, &at.low, &at.cur, &at.done, &at.high, &begun.claims,
		&system, &timeline, &database, &ahead, &foreign)
	remedy := fmt.Sprintf("if this database was restored, copied or failed over, see what was published and run tandem rebase --schema %s", r.cfg.Schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return begun, &SetupError{Code: advice.CheckpointEmpty, Problem: "the checkpoint is empty, as in a dump taken while it was rewritten: what was published is not known", Remedy: remedy}
	}
	if err != nil {
		return begun, explainDatabase(fmt.Errorf("read the checkpoint: %w", err))
	}
	differs := func(what string, saved, found any) error {
		return &SetupError{Code: advice.CheckpointForeign, Problem: fmt.Sprintf("the checkpoint was saved on another %s (%v, this is %v): transaction ids mean nothing here", what, saved, found), Remedy: remedy}
	}
	switch {
	case system != nil && *system != now.system:
		return begun, differs("cluster", *system, now.system)
	case timeline != nil && *timeline != now.timeline:
		return begun, &SetupError{
			Code:    advice.CheckpointTimeline,
			Problem: fmt.Sprintf("the server's timeline has changed from %d to %d since the checkpoint: a failover may have lost transactions whose events were already published", *timeline, now.timeline),
			Remedy:  remedy,
		}
	case database != nil && *database != now.database:
		return begun, differs("database", *database, now.database)
	case ahead:
		return begun, &SetupError{Code: advice.CheckpointForeign, Problem: "the checkpoint is ahead of the server's transaction ids: this is an older copy of the database", Remedy: remedy}
	case foreign:
		return begun, &SetupError{Code: advice.CheckpointForeign, Problem: "the log holds events of transactions that this server has not begun yet: they were restored from elsewhere", Remedy: remedy}
	}
	return begun, nil
}
