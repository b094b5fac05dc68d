package relay

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// reader follows the log with a cursor that lives as long as its connection.
// After a crash Postgres hands out again the transaction ids whose WAL was not
// flushed, so a cursor kept over a reconnect could skip what they write next.
//
// A poll that finds less than a page is a whole window: published in order of
// position, after which the cursor is its snapshot. A poll that finds a page or
// more says only that there is a lot: the rows are thrown away, because the
// first so many by transaction are not a valid cut (a transaction that began
// first may write a key second). The window's end is frozen instead, and it is
// read by position, page after page.
type reader struct {
	*term
	conn   *pgx.Conn
	at     checkpoint // how far is read
	frozen bool       // the window's end was taken in this term
	large  bool       // the window may hold events of more than 2 kB
	window *window    // where one is being read by position
	names  interned
	quiet  time.Time // when the last event was seen

	handing chan *page     // pages of a frozen window, on their way to the lanes
	handed  sync.WaitGroup // none is
}

// run reads until ctx ends, or until everything is read that was visible when
// it began if untilEmpty is set.
func (r *reader) run(ctx context.Context, untilEmpty bool) error {
	defer r.closeWindow()
	r.handing = make(chan *page)
	var hands sync.WaitGroup
	hands.Go(func() {
		for p := range r.handing {
			r.handOn(p)
			r.handed.Done()
		}
	})
	defer hands.Wait()
	defer close(r.handing)
	r.quiet = r.now()
	r.large = true // what is not known of a window that was begun by another
	for polled := false; ; {
		p, err := r.tracker.room(ctx, r.cfg.PageBytes)
		if err != nil {
			return err
		}
		if r.at.cur != "" {
			if err := r.readPage(ctx, p); err != nil {
				return err
			}
		} else {
			events, err := r.poll(ctx, p)
			if err != nil {
				return err
			}
			polled = true
			if 2*events < r.cfg.PageEvents && !untilEmpty {
				if err := r.rest(ctx, events); err != nil {
					return err
				}
			}
		}
		if untilEmpty && polled && r.at.cur == "" {
			return nil
		}
	}
}

// idleAfter is when a log without events is looked at half as often.
const idleAfter = 10 * time.Second

// rest waits before the next poll: a sixteenth of the time since the last event was
// seen, so that none waits much longer than the log was silent before it, but no
// less than MinPoll and no more than MaxPoll, or twice of it when there have been
// none for idleAfter.
func (r *reader) rest(ctx context.Context, events int) error {
	if events > 0 {
		r.quiet = r.now()
	}
	silence, most := r.now().Sub(r.quiet), r.cfg.MaxPoll
	if silence > idleAfter {
		most *= 2
	}
	return sleep(ctx, min(max(silence/16, r.cfg.MinPoll), most))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// header is the first row of a poll.
type header struct {
	snapshot       string
	insert, flush  int64
	events, volume int
}

// poll looks at the log once and returns how many events it found.
func (r *reader) poll(ctx context.Context, p *page) (int, error) {
	h, err := r.look(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("poll the log: %w", err)
	}
	after, err := r.afterWindow(h.snapshot, true)
	if err != nil {
		return 0, err
	}
	switch {
	case h.events == 0:
		r.tracker.giveBack(p)
		// Past an empty window too only what is durable; later is soon enough, but
		// for a term's first, which flows may wait for.
		if !r.at.own {
			if err := r.durable(ctx, h); err != nil {
				return 0, err
			}
			h.flush = h.insert
		}
		if h.flush >= h.insert {
			r.at = after
			r.tracker.skip(after)
		}
		return 0, nil
	case h.events >= r.cfg.PageEvents || h.volume >= r.cfg.PageBytes:
		r.tracker.giveBack(p)
		if err := r.durable(ctx, h); err != nil {
			return 0, err
		}
		return h.events, r.freeze(ctx, h.snapshot)
	}
	if err := r.durable(ctx, h); err != nil {
		return 0, err
	}
	p.finish()
	p.under = checkpoint{
		prev: r.at.prev, low: r.at.low, own: r.at.own, cur: h.snapshot,
		done: p.items[0].Position - 1, high: p.items[len(p.items)-1].Position,
	}
	p.after = after
	r.at = after
	p = r.count(p)
	r.handOn(p)
	return h.events, nil
}

// statement bounds a read: on a connection that has died without a word it would
// wait for a quarter of an hour, while the keeper, on its own, renews the lease.
func (r *reader) statement(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, r.readTimeout, noAnswer(r.readTimeout))
}

// look runs the poll statement and decodes what it brings into p.
func (r *reader) look(ctx context.Context, p *page) (h header, err error) {
	ctx, cancel := r.statement(ctx)
	defer cancel()
	defer func() { err = because(ctx, err) }()
	rows, err := r.conn.Query(ctx, r.sql.poll, r.at.prev, r.cfg.PageEvents, r.cfg.PageBytes, r.claims.earlier)
	if err != nil {
		return h, err
	}
	defer rows.Close()
	for rows.Next() {
		values := rows.RawValues()
		if values[0] != nil {
			if err := p.decode(values, &r.names); err != nil {
				return h, err
			}
			continue
		}
		h.snapshot = string(values[4])
		if h.insert, err = strconv.ParseInt(string(values[5]), 10, 64); err != nil {
			return h, err
		}
		if h.flush, err = strconv.ParseInt(string(values[6]), 10, 64); err != nil {
			return h, err
		}
	}
	h.events, h.volume = len(p.items), p.volume()
	return h, rows.Err()
}

// afterWindow is the checkpoint once every event visible in snapshot is done.
func (r *reader) afterWindow(snapshot string, own bool) (checkpoint, error) {
	xmax, err := snapshotXmax(snapshot)
	if err != nil {
		return checkpoint{}, err
	}
	return checkpoint{prev: snapshot, low: max(r.at.low, r.anchorBelow(xmax)), own: own}, nil
}

// freeze makes the events between the cursor and snapshot a window to be read
// by position. The bounds only save reading; what belongs to the window is what
// the two snapshots say.
func (r *reader) freeze(ctx context.Context, snapshot string) error {
	ctx, cancel := r.statement(ctx)
	defer cancel()
	cur := r.at
	cur.cur = snapshot
	if err := r.conn.QueryRow(ctx, r.sql.freeze, r.at.prev, snapshot, r.at.low).Scan(&cur.done, &cur.high, &r.large); err != nil {
		return fmt.Errorf("bound the window: %w", because(ctx, err))
	}
	r.at, r.frozen = cur, true
	return nil
}

// readPage reads the next page of the frozen window. The one after it is asked for
// before the page is handed on, so that the server need not wait.
func (r *reader) readPage(ctx context.Context, p *page) (err error) {
	if r.window == nil {
		if r.window, err = r.openWindow(ctx, r.at, r.large); err != nil {
			return err
		}
	}
	done, err := r.window.read(p, &r.names)
	if err != nil {
		return err
	}
	p.finish()
	p.under = r.at
	if done >= r.at.high {
		if p.after, err = r.afterWindow(r.at.cur, r.frozen); err != nil {
			return err
		}
		r.closeWindow()
	} else {
		p.after = r.at
		p.after.done = done
		if r.tracker.fits(p.bytes + r.cfg.PageBytes) {
			if err := r.window.ask(1, p.bytes); err != nil {
				return err
			}
		}
	}
	r.at = p.after
	events := len(p.items)
	if p = r.count(p); events > 0 { // else it may be read into again already
		r.handed.Add(1)
		r.handing <- p
	}
	if r.window == nil { // what a poll finds next comes after it
		r.handed.Wait()
	}
	return nil
}

func (r *reader) closeWindow() {
	if r.window != nil {
		r.window.close()
		r.window = nil
	}
}

// durable waits until everything the poll saw is on disk. A transaction with
// synchronous_commit=off is visible before that, and a crash would take it back
// after it was published. On an idle server nothing flushes what is left over,
// so after a while the keeper is asked to commit something.
func (r *reader) durable(ctx context.Context, h header) error {
	ctx, cancel := r.statement(ctx)
	defer cancel()
	if r.cfg.SyncStandbys {
		return r.replicated(ctx)
	}
	asked := r.now()
	for flushed := h.flush; flushed < h.insert; {
		if now := r.now(); now.Sub(asked) > 20*time.Millisecond {
			r.commitNow()
			asked = now
		}
		err := sleep(ctx, 200*time.Microsecond)
		if err == nil {
			err = r.conn.QueryRow(ctx, sqlFlushed).Scan(&flushed)
		}
		if err != nil {
			return fmt.Errorf("wait for the log to be durable: %w", because(ctx, err))
		}
	}
	return nil
}
