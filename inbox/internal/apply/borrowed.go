package apply

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// borrowed is a transaction that the handler may use and not end: what it would
// commit are the ids of the whole batch, those of messages after its own too.
// Begin, a savepoint, is the handler's own to end. It notes whether it was used.
type borrowed struct {
	tx   pgx.Tx
	used bool
}

func (b *borrowed) take() pgx.Tx {
	b.used = true
	return b.tx
}

func (b *borrowed) Commit(context.Context) error   { return errNotYours }
func (b *borrowed) Rollback(context.Context) error { return errNotYours }

func (b *borrowed) Begin(ctx context.Context) (pgx.Tx, error) { return b.take().Begin(ctx) }
func (b *borrowed) Conn() *pgx.Conn                           { return b.take().Conn() }
func (b *borrowed) LargeObjects() pgx.LargeObjects            { return b.take().LargeObjects() }

func (b *borrowed) Exec(ctx context.Context, query string, arguments ...any) (pgconn.CommandTag, error) {
	return b.take().Exec(ctx, query, arguments...)
}

func (b *borrowed) Query(ctx context.Context, query string, arguments ...any) (pgx.Rows, error) {
	return b.take().Query(ctx, query, arguments...) //nolint:rowserrcheck // the handler's to read
}

func (b *borrowed) QueryRow(ctx context.Context, query string, arguments ...any) pgx.Row {
	return b.take().QueryRow(ctx, query, arguments...)
}

func (b *borrowed) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	return b.take().SendBatch(ctx, batch)
}

func (b *borrowed) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	return b.take().CopyFrom(ctx, table, columns, rows)
}

func (b *borrowed) Prepare(ctx context.Context, name, query string) (*pgconn.StatementDescription, error) {
	return b.take().Prepare(ctx, name, query)
}
