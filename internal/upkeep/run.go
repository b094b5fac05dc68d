package upkeep

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	every = time.Hour
	// A failure is tried again after a minute, and then less and less often:
	// there is room for a year.
	retry = time.Minute
)

// Run does All at once and then every hour, until ctx ends. Failures are logged
// and tried again.
func Run(ctx context.Context, db DB, name string, log *slog.Logger) {
	failed := retry
	for {
		done, err := All(ctx, db, name)
		if ctx.Err() != nil {
			return
		}
		pause := every
		if done.Any() {
			log.Info("maintained the inbox's storage",
				"leaves_made", done.Made, "leaves_emptied", done.Emptied, "leaves_dropped", done.Dropped, "rows_expired", done.Expired)
		}
		if err != nil {
			pause, failed = failed, min(2*failed, every)
			log.Warn("cannot maintain the inbox's storage; will be tried again", "in", pause, "error", err)
		} else {
			failed = retry
		}
		// Not all processes of a service at the same moment.
		timer := time.NewTimer(pause - rand.N(pause/5)) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
