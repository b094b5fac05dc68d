package inboxkafka

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/schema"
)

const maintainEvery = 24 * time.Hour

// maintain keeps the inbox's storage made ahead and emptied by age, at start and
// then daily. There is room for a year, so a failure is only logged.
func (c *Consumer) maintain(ctx context.Context) {
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for {
		var made, emptied int
		err := c.apply.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, schema.Rewrite(`SELECT made, emptied FROM tandem.maintain_inbox()`, c.config.Schema)).Scan(&made, &emptied)
		})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.config.Logger.Warn("could not maintain the inbox's storage, trying again in a day", "error", err)
		case made+emptied > 0:
			c.config.Logger.Info("maintained the inbox's storage", "leaves_made", made, "leaves_emptied", emptied)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
