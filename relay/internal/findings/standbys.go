package findings

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
)

// SyncStandbys tells whether commits wait for standbys at all. Only for a relay
// that was asked to.
func SyncStandbys(ctx context.Context, conn *pgx.Conn) ([]Finding, error) {
	var names string
	err := conn.QueryRow(ctx, `SELECT current_setting('synchronous_standby_names')`, pgx.QueryExecModeExec).Scan(&names)
	if err != nil || names != "" {
		return nil, err
	}
	return []Finding{{
		Code:    advice.SyncStandbys,
		Problem: "synchronous standbys are to be waited for, but synchronous_standby_names is empty",
		Why:     "commits wait for no standby, so that a failover may lose events that were published",
		Remedy:  "name the standbys in synchronous_standby_names, or run the relay without SyncStandbys (--sync-standbys)",
	}}, nil
}
