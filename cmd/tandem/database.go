package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-outbox/tandem/relay"
)

// explain adds to a database's error where it was and what to do next.
func explain(err error, database *pgx.ConnConfig) error {
	if err == nil {
		return nil
	}
	next := remedy(err)
	if next == "" {
		return err
	}
	return fmt.Errorf("database %q at %s: %w; %s", database.Database, address(database), err, next)
}

// explainStart adds to the error of a relay that waited in vain for the database what
// to do next. All its other errors say so themselves.
func explainStart(err error) error {
	var unreachable *relay.UnreachableError
	if errors.As(err, &unreachable) && unreachable.What == "database" {
		return fmt.Errorf("%w; %s; or let --start-timeout be longer", err, checkAddressOfDatabase)
	}
	return err
}

const checkAddressOfDatabase = "check the address in --database-url and its sslmode, and that PostgreSQL is running there"

func address(database *pgx.ConnConfig) string {
	return fmt.Sprintf("%s:%d", database.Host, database.Port)
}

// remedy decides by behaviour: the driver's type, or the SQLSTATE's class.
func remedy(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var connect *pgconn.ConnectError
		if errors.As(err, &connect) {
			return checkAddressOfDatabase
		}
		return ""
	}
	switch {
	case strings.HasPrefix(pg.Code, "28"):
		return "check user and password in --database-url"
	case pg.Code == "3D000":
		return "create the database, or check its name in --database-url"
	case pg.Code == "42501":
		return "run this as the owner of the schema, or as one who may create it in this database"
	case pg.Code == "25006":
		return "this is a standby, or a read-only session: give the primary's address"
	case strings.HasPrefix(pg.Code, "57P"), strings.HasPrefix(pg.Code, "53"):
		return "the server cannot serve at the moment: try again later"
	}
	return "" // what the migrations raise themselves has its hint with it
}
