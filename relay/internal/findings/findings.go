package findings

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// Finding is one thing that is wrong, in words for an operator.
type Finding struct {
	Code    string // its heading in docs/operating.md, such as "log-index"
	Problem string // what is wrong, and where
	Why     string // what it leads to
	Remedy  string // what to do; SQL is to be run by the owner of the schema
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s; %s", f.Problem, f.Why, f.Remedy) }

// Schema compares the schema of that name, whose version is known to be right,
// with what the migrations have made. The error is the connection's.
func Schema(ctx context.Context, conn *pgx.Conn, name string) ([]Finding, error) {
	l := &look{ctx: ctx, conn: conn, schema: name}
	for _, check := range []func() error{l.encoding, l.leaves, l.indexes, l.sequence, l.rights, l.writer, l.rows, l.functions} {
		err := check()
		explained := len(l.found) > 0 && missing(err)
		if err != nil && !explained {
			return nil, err
		}
	}
	return l.found, nil
}

// missing tells of an error that an earlier finding explains: a table that is
// not there, or may not be read.
func missing(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "42703" || pg.Code == "42501" || pg.Code == "3F000")
}

// look is one examination.
type look struct {
	ctx    context.Context
	conn   *pgx.Conn
	schema string
	found  []Finding
}

func (l *look) add(code, problem, why, remedy string) {
	l.found = append(l.found, Finding{Code: code, Problem: l.in(problem), Why: l.in(why), Remedy: l.in(remedy)})
}

// in puts the schema's own name into a text written for the default one.
func (l *look) in(text string) string { return schema.Rewrite(text, l.schema) }

// scan reads the one row of a statement into to. It does not prepare: these
// statements run once, and the plans that the relay's connections keep are for
// those that run often.
func (l *look) scan(statement string, args []any, to ...any) error {
	return l.conn.QueryRow(l.ctx, l.in(statement), unprepared(args)...).Scan(to...)
}

// each calls row for each row of a statement, when it has been read into to.
func (l *look) each(statement string, args, to []any, row func()) error {
	rows, err := l.conn.Query(l.ctx, l.in(statement), unprepared(args)...) //nolint:rowserrcheck // ForEachRow does
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, to, func() error {
		row()
		return nil
	})
	return err
}

func unprepared(args []any) []any { return append([]any{pgx.QueryExecModeExec}, args...) }

// qualified are the names with the default schema's, for in.
func qualified(names []string) string { return "tandem." + strings.Join(names, ", tandem.") }
