package admin

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// DB is a connection or a pool: *pgx.Conn, *pgxpool.Pool.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Operator does what an operator asks for, in one inbox. It has no state, and may
// be used by as many goroutines as its DB.
type Operator struct {
	db     DB
	schema string
}

// New returns an Operator for the inbox in a schema; empty means "tandem".
func New(db DB, schemaName string) (*Operator, error) {
	if schemaName == "" {
		schemaName = schema.Default
	}
	if err := schema.Check(schemaName); err != nil {
		return nil, err
	}
	return &Operator{db: db, schema: schemaName}, nil
}

// AccessError means that the login or the schema is not as it has to be.
type AccessError = advice.AccessError

// explain says what was being done, and by SQLSTATE what to do next.
func explain(err error, doing string) error { return advice.Explain(err, doing, "tandem_consumer") }

func (o *Operator) sql(statement string) string { return schema.Rewrite(statement, o.schema) }

func (o *Operator) row(ctx context.Context, statement string, args ...any) pgx.Row {
	return o.db.QueryRow(ctx, o.sql(statement), args...)
}

// change runs a statement that locks rows of partitions and messages, and scans
// its one row. It locks in an order in which no deadlock with its like is possible;
// where another program's order is another, Postgres ends one of the two, and this
// one begins again.
func (o *Operator) change(ctx context.Context, doing, statement string, args []any, to ...any) error {
	for attempt := 1; ; attempt++ {
		err := o.row(ctx, statement, args...).Scan(to...)
		var pg *pgconn.PgError
		if attempt < 5 && errors.As(err, &pg) && pg.Code == "40P01" { // deadlock_detected
			continue
		}
		return explain(err, doing)
	}
}

// collect reads all rows of a statement, by their columns' order.
func collect[T any](ctx context.Context, o *Operator, doing, statement string, args ...any) ([]T, error) {
	rows, err := o.db.Query(ctx, o.sql(statement), args...)
	if err != nil {
		return nil, explain(err, doing)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	return all, explain(err, doing)
}
