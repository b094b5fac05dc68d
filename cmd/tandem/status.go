package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func newStatus(sys system) *cobra.Command {
	var database *pgx.ConnConfig
	var name string
	var asJSON bool
	return configure(&cobra.Command{
		Use:   "status",
		Short: "Show who relays, the lag by stages, topics, what holds the log back",
		Long: `Shows, from the database alone, and whether or not a relay runs:

  relays    who leads and since when, who stands by
  lag       events that are committed and not saved as done: not read yet, read
            and not acknowledged, acknowledged and not saved. The stages are the
            working relay's word, some seconds old
  aside     parked, held, deferred and scheduled events; expired and discarded ones
  log       leaves that hold anything, and bytes on disk
  holding   transactions that keep events from being seen, or leaves from being
            given back; prepared transactions; replication slots

Counts end at 10,000: what lies beyond is an estimate (~) or a least number (≥).
A member of tandem_relay may run it. It sees what others' sessions do only with
the role pg_read_all_stats.`,
		Example: `  tandem status
  tandem status --json | jq '.lag.seconds'`,
	}, sys, []*setting{databaseURL(&database), schemaName(&name), once(&asJSON, "json", "for programs")}, func(ctx context.Context) error {
		s, err := readStatus(ctx, database, name)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(sys.stdout, s)
		}
		return statusText(sys.stdout, s)
	})
}

func readStatus(ctx context.Context, database *pgx.ConnConfig, name string) (admin.Status, error) {
	database = database.Copy()
	database.RuntimeParams["application_name"] = "tandem status"
	conn, err := pgx.ConnectConfig(ctx, database)
	if err != nil {
		return admin.Status{}, explain(err, database)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s, err := admin.ReadStatus(ctx, conn, name)
	return s, explainAccess(err, database)
}

// explainAccess is explain for package admin, which may say itself what to do.
func explainAccess(err error, database *pgx.ConnConfig) error {
	var access *admin.AccessError
	if errors.As(err, &access) {
		return fmt.Errorf("database %q at %s: %w", database.Database, address(database), err)
	}
	return explain(err, database)
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
