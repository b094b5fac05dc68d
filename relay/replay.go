package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/pgtext"
)

// replayer carries out operators' requests to publish events again, one request
// after another, through the lanes like everything else. What may be published
// again says tandem.published.
//
// A page at a time is in the lanes, a tenth of a second's worth, so that live
// events wait for no more than that. When all of a page is acknowledged or given
// up, the request's row is brought forward to its end, under the fence: a relay
// that has lost its lease counts nothing, and its successor goes on where the row
// stands. A crash repeats what was sent since, half a second's worth.
//
// Nothing that is replayed is parked, held or set aside: it has been published
// before. It passes events of its key that are held.
type replayer struct {
	*term
	store  *store // its own: a sparse selection takes long to read
	wake   chan struct{}
	wanted atomic.Bool // a request is open
}

func newReplayer(t *term) *replayer {
	return &replayer{term: t, store: &store{term: t}, wake: make(chan struct{}, 1)}
}

// asked is called, again and again, while a request is open.
func (r *replayer) asked() {
	r.wanted.Store(true)
	notify(r.wake)
}

// run ends when the term does, or the relay is told to stop.
func (r *replayer) run(taking, running context.Context) error {
	ctx, cancel := whileBoth(taking, running)
	defer cancel()
	defer r.store.close()
	trouble := newTrouble(r.log, r.now)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		if err := r.carryOutAll(ctx); err != nil && ctx.Err() == nil {
			trouble.failed("a replay is interrupted and will be resumed", err)
		} else {
			trouble.over("replays go on")
		}
	}
}

func (r *replayer) carryOutAll(ctx context.Context) error {
	for {
		q, err := r.next(ctx)
		if err != nil {
			return err
		}
		if q == nil {
			r.wanted.Store(false)
			return nil
		}
		if err := q.carryOut(ctx); err != nil {
			return err
		}
	}
}

// replay is one request, from where it stands.
type replay struct {
	*replayer
	number           int64
	position, end    int64 // over up to the first; to be looked at up to the second
	rate             int   // events a second
	topic, key, kind *string
	from, to         *time.Time
	left             int64 // how many events were asked for and are not counted yet

	reported     time.Time
	done, failed int64 // not reported yet

	mu           sync.Mutex
	out          int // of the page, not settled
	acknowledged int // of the page
	why          error
	settled      chan struct{}
}

// next returns the oldest open request, nil if there is none.
func (r *replayer) next(ctx context.Context) (*replay, error) {
	q := &replay{replayer: r, settled: make(chan struct{}, 1), reported: r.now()}
	err := r.store.use(ctx, "read a request", func(ctx context.Context, conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, r.sql.openReplay).Scan(&q.number, &q.position, &q.end, &q.rate,
			&q.topic, &q.key, &q.kind, &q.from, &q.to, &q.left)
		if errors.Is(err, pgx.ErrNoRows) {
			q = nil
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return q, nil
}

func (q *replay) carryOut(ctx context.Context) (err error) {
	q.log.Info("publishing events again, as an operator asks", "request", q.number, "events", q.left, "rate", q.rate)
	defer func() {
		if err != nil {
			q.leaveOff(ctx)
		}
	}()
	for q.position < q.end {
		began := q.now()
		items, upTo, err := q.page(ctx)
		if err != nil {
			return err
		}
		if len(items) > 0 {
			if err := q.publish(ctx, items); err != nil {
				return err
			}
		}
		q.position = upTo
		if q.now().Sub(q.reported) >= replayReportEvery {
			if mine, err := q.report(ctx, false); err != nil || !mine {
				return err
			}
		}
		pause := time.Duration(len(items)) * time.Second / time.Duration(max(1, q.rate))
		if err := sleep(ctx, max(0, pause-q.now().Sub(began))); err != nil {
			return err
		}
	}
	_, err = q.report(ctx, true)
	return err
}

const (
	replayReportEvery = 500 * time.Millisecond
	// One statement looks at no more positions, so that it is short, whatever it
	// finds.
	replayScan = 50_000
)

// page reads the next events and returns up to which position they are all.
func (q *replay) page(ctx context.Context) (items []*item, upTo int64, err error) {
	limit := min(storedPerPage, max(1, q.rate/10))
	upTo = min(q.position+replayScan, q.end)
	err = q.store.use(ctx, "read published events", func(ctx context.Context, conn *pgx.Conn) error {
		items, err = readStored(ctx, conn, q.sql.replayPage, q.position, upTo, q.topic, q.key, q.kind, q.from, q.to, limit, q.cfg.PageBytes)
		return err
	})
	volume := 0
	for _, it := range items {
		volume += it.size() - eventOverhead
	}
	if len(items) == limit || volume >= q.cfg.PageBytes {
		upTo = items[len(items)-1].Position
	}
	return items, upTo, err
}

// publish hands a page to the lanes and waits until all of it is settled.
func (q *replay) publish(ctx context.Context, items []*item) error {
	for _, it := range items {
		it.from, it.Replay = q, q.number
	}
	q.mu.Lock()
	q.out, q.acknowledged = len(items), 0
	q.mu.Unlock()
	q.dispatch(items)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-q.settled:
	}
	q.mu.Lock()
	acknowledged := q.acknowledged
	q.mu.Unlock()
	q.done += int64(acknowledged)
	if failed := len(items) - acknowledged; failed > 0 {
		q.failed += int64(failed)
		q.gaveUp(errTopicAside)
	}
	return nil
}

func (q *replay) sent(*item) {
	q.stats.replayed.Add(1)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acknowledged++
}

func (q *replay) settle(*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.out--; q.out == 0 {
		notify(q.settled)
	}
}

// gaveUp keeps the first reason for which an event was not published again.
func (q *replay) gaveUp(why error, event ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.why != nil {
		return
	}
	q.why = why
	q.log.With(event...).Warn("an event is not published again, and perhaps more are not; the request counts them", "request", q.number, "error", why)
}

// report brings the request's row forward; mine is false if the lease is lost or
// somebody else has ended the request.
func (q *replay) report(ctx context.Context, over bool) (mine bool, err error) {
	var problem string
	q.mu.Lock()
	if q.why != nil {
		problem = pgtext.Repaired(q.why.Error(), mostWords)
	}
	q.mu.Unlock()
	if missing := q.left - q.done - q.failed; over && missing > 0 && problem == "" {
		problem = fmt.Sprintf("%d events are not in the log any more, or have expired", missing)
	}
	done, failed := q.done, q.failed
	// Whether a report arrived whose answer is lost says the row alone: it is read
	// anew, and nothing is counted twice.
	q.left -= done + failed
	q.done, q.failed, q.reported = 0, 0, q.now()
	err = q.store.use(ctx, "report on a replay", func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, q.sql.replayProgress, q.lease.owner, q.lease.epoch, q.number, q.position, done, failed, problem, over)
		mine = tag.RowsAffected() == 1
		return err
	})
	return mine, err
}

// leaveOff reports what is known to be over when the replay has to stop.
func (q *replay) leaveOff(ctx context.Context) {
	if q.done+q.failed == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := q.report(ctx, false); err != nil {
		q.log.Debug("cannot say how far a replay came; some of it will be repeated", "request", q.number, "error", err)
	}
}
