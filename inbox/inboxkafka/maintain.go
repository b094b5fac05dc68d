package inboxkafka

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/upkeep"
)

// maintain looks after the inbox's storage, at start and then every hour. There
// is room for a year, so a failure is only logged.
func (c *Consumer) maintain(ctx context.Context) {
	upkeep.Run(ctx, eachAlone{c}, c.config.Schema, c.config.Logger)
}

// eachAlone asks in a transaction for each question, as upkeep wants it.
type eachAlone struct{ c *Consumer }

func (e eachAlone) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return answer(func(to ...any) error {
		return e.c.apply.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, sql, args...).Scan(to...)
		})
	})
}

type answer func(to ...any) error

func (a answer) Scan(to ...any) error { return a(to...) }
