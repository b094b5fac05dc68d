package relay

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-outbox/tandem/relay/internal/findings"
)

// With Config.SyncStandbys what has been read is published only when it is on
// the synchronous standbys. Which WAL they have is not for a relay's login to
// see, but a commit with synchronous_commit=on returns only when they have all of
// the WAL before it, whatever the writers' own synchronous_commit was.

// replicated waits for such a commit.
func (t *term) replicated(ctx context.Context) error {
	for {
		if err := t.commitAfter(ctx); err != nil {
			return fmt.Errorf("wait for the synchronous standbys: %w", err)
		}
		if !t.waitCancelled.Swap(false) {
			return nil
		}
	}
}

// noticeCancelled hears of a commit that returned without the standbys, because
// somebody has called pg_cancel_backend: Postgres reports that as a warning only.
// The file is in no translation.
func (r *Relay) noticeCancelled(config *pgx.ConnConfig) {
	next := config.OnNotice
	config.OnNotice = func(conn *pgconn.PgConn, notice *pgconn.Notice) {
		if notice.File == "syncrep.c" {
			r.waitCancelled.Store(true)
		}
		if next != nil {
			next(conn, notice)
		}
	}
}

// checkStandbys refuses a server whose commits wait for nobody.
func checkStandbys(ctx context.Context, conn *pgx.Conn) error {
	found, err := findings.SyncStandbys(ctx, conn)
	if err != nil {
		return fmt.Errorf("look for synchronous standbys: %w", err)
	}
	return setupError(found)
}
