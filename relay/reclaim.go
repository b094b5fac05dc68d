package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/upkeep"
)

// reclaimer gives the space of wholly published leaves back, sees to it that the
// inbox has leaves, and has the backlog measured, on a connection of its own. Its
// failures are logged and never end a term: a log that grows is better than one
// that stands still.
type reclaimer struct {
	*term
	conn    *pgx.Conn
	seen    checkpoint // what the last look went by
	last    time.Time  // when that was
	inbox   time.Time  // when the inbox was last maintained
	watcher *watcher   // goes along, because it needs a connection too
}

// A leaf has 2^17 positions, the ring 16 leaves (migrations/sql/00002_log.sql).
const (
	leafBits = 17
	leaves   = 16
	// The leaf being written and the one it comes to next are not to be kept.
	maxKeepLeaves = leaves - 2
)

func (r *reclaimer) run(ctx context.Context) error {
	trouble, measuring := newTrouble(r.log, r.now), newTrouble(r.log, r.now)
	defer r.disconnect()
	for ctx.Err() == nil {
		if saved := *r.savedTo.Load(); r.due(saved) {
			held, err := r.look(ctx)
			r.last = r.now()
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				trouble.failed("cannot give space of the log back; it grows until this is mended", err)
				r.disconnect()
			default:
				trouble.over("space of the log is given back again")
				if held == 0 {
					r.seen = saved
				}
			}
		}
		if r.watcher.due(r.now()) {
			switch err := r.watch(ctx); {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				measuring.failed("cannot measure the backlog", err)
				r.disconnect()
			default:
				measuring.over("the backlog is measured again")
			}
		}
		pause := 100 * time.Millisecond
		if *r.savedTo.Load() == r.seen {
			pause = 500 * time.Millisecond // nothing moves
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
	return nil
}

func (r *reclaimer) disconnect() {
	if r.conn != nil {
		closeConn(r.conn)
		r.conn = nil
	}
}

func (r *reclaimer) session(ctx context.Context) (err error) {
	if r.conn == nil {
		r.conn, _, err = r.connect(ctx)
	}
	return err
}

// watch has the backlog measured.
func (r *reclaimer) watch(ctx context.Context) error {
	if err := r.session(ctx); err != nil {
		return err
	}
	work, cancel := context.WithTimeoutCause(ctx, r.readTimeout, noAnswer(r.readTimeout))
	defer cancel()
	return because(work, r.watcher.look(work, r.conn))
}

// due: at once when the checkpoint has come to another leaf of a window, else
// once a second while it moves.
func (r *reclaimer) due(saved checkpoint) bool {
	since := r.now().Sub(r.last)
	return saved.done>>leafBits > r.seen.done>>leafBits && since > 100*time.Millisecond ||
		saved != r.seen && since > time.Second || r.now().Sub(r.inbox) > 24*time.Hour
}

// look does what there is to do. It is not cut short by the end of the term: a
// leaf that the server goes on truncating would be neither counted nor to be had
// by finish.
func (r *reclaimer) look(ctx context.Context) (held int, err error) {
	if err := r.session(ctx); err != nil {
		return 0, err
	}
	work, cancel := context.WithTimeoutCause(r.publishing, r.readTimeout, noAnswer(r.readTimeout))
	defer cancel()
	if r.now().Sub(r.inbox) > 24*time.Hour {
		if !r.maintainInbox(work, r.conn) {
			r.inbox = r.now()
			r.tidy(work, r.conn)
		}
	}
	held, err = r.reclaim(work, r.conn)
	return held, because(work, err)
}

// maintainInbox is what every consumer does too; once a day is often enough for
// leaves that are made a year ahead, so a failure may wait for tomorrow. It takes
// a step at a time, and returns whether there is more to do: the log comes first.
func (t *term) maintainInbox(ctx context.Context, conn *pgx.Conn) (more bool) {
	done, err := upkeep.Step(ctx, conn, t.cfg.Schema)
	if err != nil && !locked(err) && ctx.Err() == nil {
		t.log.Warn("cannot maintain the inbox's storage; will be tried again in a day", "error", err)
	}
	return err == nil && done.More
}

// tidy forgets what nobody asks for any more.
func (t *term) tidy(ctx context.Context, conn *pgx.Conn) {
	if _, err := conn.Exec(ctx, t.sql.tidy); err != nil && ctx.Err() == nil {
		t.log.Warn("cannot tidy the tables of dropped events and requests; will be tried again in a day", "error", err)
	}
}

// reclaim truncates every leaf that is done but the newest, which are kept for
// replay if that is wished for. One that a writer or a dump holds is left for the
// next time; held counts them.
func (t *term) reclaim(ctx context.Context, conn *pgx.Conn) (held int, err error) {
	rows, err := conn.Query(ctx, t.sql.doneLeaves, t.cfg.KeepLeaves)
	if err != nil {
		return 0, fmt.Errorf("look for leaves that are done: %w", err)
	}
	leaves, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return 0, fmt.Errorf("look for leaves that are done: %w", err)
	}
	for _, leaf := range leaves {
		var truncated bool
		err := conn.QueryRow(ctx, t.sql.reclaim, leaf).Scan(&truncated)
		if locked(err) {
			held++
			continue
		}
		if err != nil {
			return held, fmt.Errorf("reclaim leaf %d: %w", leaf, err)
		}
		if truncated {
			t.stats.reclaimed.Add(1)
			t.log.Debug("gave a leaf of the log back", "leaf", leaf)
		}
	}
	return held, nil
}

// locked tells whether a lock_timeout ended the statement.
func locked(err error) bool { return sqlState(err) == "55P03" }
