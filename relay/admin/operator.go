package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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
type AccessError struct {
	Remedy string
	Err    error
}

func (e *AccessError) Error() string { return e.Err.Error() + "; " + e.Remedy }
func (e *AccessError) Unwrap() error { return e.Err }

// explain says what was being done, and by SQLSTATE what to do next.
func explain(err error, doing string) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, err)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "42501": // insufficient_privilege
		return &AccessError{Err: err, Remedy: "the login needs the role tandem_relay (GRANT tandem_relay TO …)"}
	case "3F000", "42P01", "42703": // no such schema, table, column
		return &AccessError{Err: err, Remedy: "check the schema's name, and run tandem migrate up"}
	}
	return err
}
