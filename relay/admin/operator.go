package admin

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// DB is a connection or a pool: *pgx.Conn, *pgxpool.Pool.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Operator does what an operator asks for, on one log. It has no state, and may
// be used by as many goroutines as its DB.
type Operator struct {
	db  DB
	sql statements
}

// New returns an Operator for the log in a schema; empty means "tandem".
func New(db DB, schemaName string) (*Operator, error) {
	if schemaName == "" {
		schemaName = schema.Default
	}
	if err := schema.Check(schemaName); err != nil {
		return nil, err
	}
	return &Operator{db: db, sql: statementsFor(schemaName)}, nil
}

// Working returns who holds the lease, empty if nobody does: then a request
// stays until a relay is started.
func (o *Operator) Working(ctx context.Context) (holder string, err error) {
	err = o.db.QueryRow(ctx, o.sql.working).Scan(&holder)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return holder, explain(err, "read the lease")
}

// AccessError means that the login or the schema is not as it has to be.
type AccessError = advice.AccessError

// explain says what was being done, and by SQLSTATE what to do next.
func explain(err error, doing string) error { return advice.Explain(err, doing, "tandem_relay") }
