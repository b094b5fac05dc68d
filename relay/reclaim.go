package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// reclaimer gives the space of wholly published leaves back, and sees to it that
// the inbox has leaves, on a connection of its own. Its failures are logged and
// never end a term: a log that grows is better than one that stands still.
func (t *term) reclaimer(ctx context.Context) error {
	trouble := newTrouble(t.log, t.now)
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			closeConn(conn)
		}
	}()
	var seen *checkpoint
	var inbox time.Time
	for {
		if saved := t.savedTo.Load(); saved != seen || t.now().Sub(inbox) > 24*time.Hour {
			var err error
			if conn == nil {
				conn, _, err = t.connect(ctx)
			}
			// Not cut short by the end of the term: a leaf that the server goes
			// on truncating would be neither counted nor to be had by finish.
			work, cancel := context.WithTimeoutCause(t.publishing, t.readTimeout, fmt.Errorf("no answer within %v", t.readTimeout))
			if err == nil && t.now().Sub(inbox) > 24*time.Hour {
				inbox = t.now()
				t.maintainInbox(work, conn)
			}
			held := 0
			if err == nil {
				held, err = t.reclaim(work, conn)
			}
			err = because(work, err)
			cancel()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				trouble.failed("cannot give space of the log back; it grows until this is mended", err)
				if conn != nil {
					closeConn(conn)
					conn = nil
				}
			} else {
				trouble.over("space of the log is given back again")
				if held == 0 {
					seen = saved
				}
			}
		}
		if sleep(ctx, time.Second) != nil {
			return nil
		}
	}
}

// maintainInbox is what every consumer does too; once a day is often enough for
// leaves that are made a year ahead, so a failure may wait for tomorrow.
func (t *term) maintainInbox(ctx context.Context, conn *pgx.Conn) {
	if _, err := conn.Exec(ctx, t.sql.maintainInbox); err != nil && !locked(err) && ctx.Err() == nil {
		t.log.Warn("cannot maintain the inbox's leaves; will be tried again in a day", "error", err)
	}
}

// reclaim truncates every leaf that is done. One that a writer or a dump holds
// is left for the next time; held counts them.
func (t *term) reclaim(ctx context.Context, conn *pgx.Conn) (held int, err error) {
	rows, err := conn.Query(ctx, t.sql.doneLeaves)
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
