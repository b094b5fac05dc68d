package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/migrations"
)

func newMigrate(sys system) *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "migrate",
		Short: "Bring Tandem's schema into a database and out of it",
		Long: `Tandem's tables, functions and roles come into a database by migrations, which these
commands apply, take back, show and print. Services and relays need the schema at the
version that they were built for, and say so when they start.`,
	}, newMigrateUp(sys), newMigrateDown(sys), newMigrateStatus(sys), newMigratePrint(sys))
}

func newMigrateUp(sys system) *cobra.Command {
	var database *pgx.ConnConfig
	var name string
	return configure(&cobra.Command{
		Use:   "up",
		Short: "Apply the migrations that are missing",
		Long: `Applies the migrations that are missing. Safe to run at the same time from
several places. Where the login may not create the roles, the statements for
somebody who may are printed.`,
		Example: `  tandem migrate up --database-url postgres://owner:secret@localhost:5432/shop`,
	}, sys, []*setting{databaseURL(&database), schemaName(&name)}, func(ctx context.Context) error {
		database.OnNotice = printNotices(sys.stdout)
		return migrate(ctx, database, name, func(ctx context.Context, m *migrations.Migrator) error {
			steps, err := m.Up(ctx)
			printSteps(sys.stdout, steps, "applied")
			if err == nil && len(steps) == 0 {
				fmt.Fprintf(sys.stdout, "schema %s is up to date\n", name)
			}
			return err
		})
	})
}

func newMigrateDown(sys system) *cobra.Command {
	var database *pgx.ConnConfig
	var name string
	var to int64
	return configure(&cobra.Command{
		Use:   "down",
		Short: "Take the migrations back, and with them the log and the inbox",
		Long: `Takes the migrations back, newest first: all of them, or those after --to. It
refuses while the log holds events that were not published. What consumers have
processed is forgotten with the inbox. Roles and the schema itself stay.`,
		Example: `  tandem relay --until-empty && tandem migrate down
  tandem migrate down --to 7`,
	}, sys, []*setting{databaseURL(&database), schemaName(&name), version64(&to)}, func(ctx context.Context) error {
		return migrate(ctx, database, name, func(ctx context.Context, m *migrations.Migrator) error {
			steps, err := m.DownTo(ctx, to)
			printSteps(sys.stdout, steps, "took back")
			if err == nil && len(steps) == 0 {
				fmt.Fprintf(sys.stdout, "schema %s has nothing to take back\n", name)
			}
			return err
		})
	})
}

// version64 is the flag --to.
func version64(to *int64) *setting {
	return &setting{
		name: "to", kind: "version", initial: "0", flagOnly: true,
		usage:   "the newest migration to keep",
		allowed: "a migration's number, 0 for none", example: "5",
		parse: func(text string) (err error) {
			if *to, err = strconv.ParseInt(text, 10, 64); err != nil || *to < 0 {
				return errors.New("it is no number")
			}
			return nil
		},
	}
}

func newMigrateStatus(sys system) *cobra.Command {
	var database *pgx.ConnConfig
	var name string
	var asJSON bool
	return configure(&cobra.Command{
		Use:   "status",
		Short: "Show which migrations are applied",
		Long: `Shows each migration that this program has, and when it was applied to the schema.
It changes nothing.`,
		Example: `  tandem migrate status
  tandem migrate status --json | jq '.[] | select(.applied | not)'`,
	}, sys, []*setting{databaseURL(&database), schemaName(&name), once(&asJSON, "json", "for programs")}, func(ctx context.Context) error {
		return migrate(ctx, database, name, func(ctx context.Context, m *migrations.Migrator) error {
			steps, err := m.Status(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return statusJSON(sys.stdout, steps)
			}
			return statusTable(sys.stdout, steps)
		})
	})
}

func newMigratePrint(sys system) *cobra.Command {
	var name string
	return configure(&cobra.Command{
		Use:   "print",
		Short: "Print all migrations as one SQL script",
		Long: `Prints what "tandem migrate up" runs in an empty database, for psql or another tool.
No database is asked.`,
		Example: `  tandem migrate print --schema events | psql shop`,
	}, sys, []*setting{schemaName(&name)}, func(context.Context) error {
		script, err := migrations.SQL(name)
		if err != nil {
			return err
		}
		_, err = io.WriteString(sys.stdout, script)
		return err
	})
}

func migrate(ctx context.Context, database *pgx.ConnConfig, name string, do func(context.Context, *migrations.Migrator) error) error {
	m, err := migrations.Open(database, name)
	if err != nil {
		return err
	}
	defer m.Close()
	return explain(do(ctx, m), database)
}

func printSteps(w io.Writer, steps []migrations.Step, verb string) {
	for _, s := range steps {
		fmt.Fprintf(w, "%s %s\n", verb, s.File)
	}
}

// printNotices passes on what the migrations want to be read, not that
// something was there already.
func printNotices(w io.Writer) func(*pgconn.PgConn, *pgconn.Notice) {
	return func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.Code != "42P06" && n.Code != "42P07" { // duplicate_schema, duplicate_table
			fmt.Fprintf(w, "notice: %s\n", n.Message)
		}
	}
}

func statusTable(w io.Writer, steps []migrations.Step) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tFILE\tAPPLIED")
	for _, s := range steps {
		applied := "no"
		if s.Applied {
			applied = s.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\n", s.Version, s.File, applied)
	}
	return table.Flush()
}

func statusJSON(w io.Writer, steps []migrations.Step) error {
	type row struct {
		Version   int64      `json:"version"`
		File      string     `json:"file"`
		Applied   bool       `json:"applied"`
		AppliedAt *time.Time `json:"applied_at"` // null where not applied
	}
	rows := make([]row, 0, len(steps))
	for _, s := range steps {
		r := row{Version: s.Version, File: s.File, Applied: s.Applied}
		if s.Applied {
			at := s.AppliedAt.UTC()
			r.AppliedAt = &at
		}
		rows = append(rows, r)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(rows)
}
