package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/relay/internal/findings"
)

// Finding is one thing that keeps a relay from starting, in words for an operator.
type Finding = findings.Finding

// Examine looks at the database as a relay does before its first event, and goes
// on where that would give up, but for a login that may not even read the schema's
// version. Of cfg only Database, BeforeConnect and Schema count. The error says why it
// could look no further.
func Examine(ctx context.Context, cfg Config) ([]Finding, error) {
	r := &Relay{cfg: cfg.withDefaults(), sql: statementsFor(cfg.withDefaults().Schema)}
	conn, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	e := &examination{Relay: r}
	for _, look := range []func(context.Context, *pgx.Conn) error{e.session, e.server, e.version, e.schema, e.checkpoint} {
		if err := look(ctx, conn); err != nil {
			return e.found, err
		}
		if e.blind { // what is left to look at would say so again
			break
		}
	}
	return e.found, nil
}

// examination collects what is found.
type examination struct {
	*Relay
	at    server
	found []Finding
	blind bool // the login may not even read the schema's version
}

// add takes a SetupError for a finding; every other error ends the examination.
func (e *examination) add(err error) error {
	var setup *SetupError
	if !errors.As(err, &setup) {
		return err
	}
	problem := setup.Problem
	if setup.Err != nil {
		problem += fmt.Sprintf(" (%v)", setup.Err)
	}
	e.found = append(e.found, Finding{Code: setup.Code, Problem: problem, Why: "no relay starts here, and one that runs ends when it next looks", Remedy: setup.Remedy})
	return nil
}

// lacksRights tells whether the login was found to lack rights.
func (e *examination) lacksRights() bool {
	return slices.ContainsFunc(e.found, func(f Finding) bool { return f.Code == advice.Rights })
}

func (e *examination) session(ctx context.Context, conn *pgx.Conn) error {
	other, err := e.open(ctx)
	if err != nil {
		return err
	}
	defer closeConn(other)
	found, err := findings.Pooler(ctx, conn, other)
	e.found = append(e.found, found...)
	return err
}

func (e *examination) server(ctx context.Context, conn *pgx.Conn) (err error) {
	e.at, err = e.prepare(ctx, conn)
	if err = explainDatabase(err); err == nil {
		return nil
	}
	if err := e.add(err); err != nil {
		return err
	}
	return errors.New("not the server that a relay works on: nothing more was looked at")
}

func (e *examination) version(ctx context.Context, conn *pgx.Conn) error {
	if _, err := e.checkVersion(ctx, conn); err != nil {
		if err := e.add(err); err != nil {
			return err
		}
		if e.blind = e.lacksRights(); e.blind {
			return nil
		}
		return errors.New("not a schema that this program works with: nothing more was looked at")
	}
	return nil
}

func (e *examination) schema(ctx context.Context, conn *pgx.Conn) error {
	found, err := findings.Schema(ctx, conn, e.cfg.Schema)
	e.found = append(e.found, found...)
	return err
}

func (e *examination) checkpoint(ctx context.Context, conn *pgx.Conn) error {
	_, err := e.readCheckpoint(ctx, conn, e.at)
	if err == nil {
		return nil
	}
	var setup *SetupError
	if e.lacksRights() && errors.As(err, &setup) && setup.Code == advice.Rights {
		return nil // said already
	}
	return e.add(err)
}
