package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// logVersion is the file whose Down drops the log.
const logVersion = 2

// Migrator migrates one schema of one database.
type Migrator struct {
	schema          string
	db              *sql.DB
	source          fs.FS
	pause, patience time.Duration // see lockTimeout
}

// Step is one migration file and whether, and when, it was applied.
type Step struct {
	Version   int64
	File      string // empty: applied by a newer program, which has it
	Applied   bool
	AppliedAt time.Time // zero where not applied
}

// Open prepares a Migrator for the database that config names; it does not
// connect yet. An empty schemaName means "tandem". The error is about the name.
func Open(config *pgx.ConnConfig, schemaName string) (*Migrator, error) {
	if schemaName == "" {
		schemaName = schema.Default
	}
	if err := schema.Check(schemaName); err != nil {
		return nil, err
	}
	source, err := in(schemaName)
	if err != nil {
		return nil, err
	}
	for _, f := range source {
		f.Data = []byte(withLockTimeout(string(f.Data)))
	}
	return &Migrator{schema: schemaName, db: stdlib.OpenDB(*config), source: source, pause: lockPause, patience: patience}, nil
}

// Close closes the Migrator's connections.
func (m *Migrator) Close() error { return m.db.Close() }

// Up applies every migration that is missing, in order, each in a transaction
// of its own, and returns them. An error leaves the ones before it applied.
//
// It waits for a table that somebody has locked, up to five minutes, and lets writers
// go first meanwhile. Where a newer program has migrated further it does nothing; the
// error says that programs of this version do not work there.
func (m *Migrator) Up(ctx context.Context) ([]Step, error) {
	if err := m.createSchema(ctx); err != nil {
		return nil, fmt.Errorf("create schema %q: %w", m.schema, err)
	}
	if newer, err := m.checkNewer(ctx); newer || err != nil {
		return nil, err
	}
	return m.patiently(ctx, func(p *goose.Provider) ([]*goose.MigrationResult, error) { return p.Up(ctx) })
}

// DownTo takes migrations back, newest first, until version is the newest left;
// 0 takes all of them back. Events that were not published stop it. The schema
// itself, goose's version table in it and the roles stay.
//
// What is unpublished is looked for before anything is taken back (TD002), and
// again by the files that drop the log, for what writers add meanwhile. The
// consumers' memory of what they have processed goes with the inbox.
func (m *Migrator) DownTo(ctx context.Context, version int64) ([]Step, error) {
	applied, err := m.appliedVersions(ctx)
	if err != nil || len(applied) == 0 {
		return nil, err // nothing there to take back
	}
	if err := m.refuseUnknown(applied, version); err != nil {
		return nil, err
	}
	if _, ok := applied[logVersion]; ok && version < logVersion {
		if err := m.refuseUnpublished(ctx); err != nil {
			return nil, explain(err)
		}
	}
	return m.patiently(ctx, func(p *goose.Provider) ([]*goose.MigrationResult, error) { return p.DownTo(ctx, version) })
}

// Status returns every migration this binary knows, and then those that a newer one
// has applied. It changes nothing.
func (m *Migrator) Status(ctx context.Context) ([]Step, error) {
	versions, err := m.appliedVersions(ctx)
	if err != nil {
		return nil, err
	}
	p, err := m.provider()
	if err != nil {
		return nil, err
	}
	var out []Step
	for _, s := range p.ListSources() {
		at, ok := versions[s.Version]
		out = append(out, Step{Version: s.Version, File: s.Path, Applied: ok, AppliedAt: at})
	}
	unknown, err := m.unknown(versions)
	for _, v := range unknown {
		out = append(out, Step{Version: v, Applied: true, AppliedAt: versions[v]})
	}
	return out, err
}

// appliedVersions reads goose's table, which is not there before the first Up:
// goose's own status would create it, and a status should need no such right.
func (m *Migrator) appliedVersions(ctx context.Context) (map[int64]time.Time, error) {
	rows, err := m.db.QueryContext(ctx, schema.Rewrite(
		// goose stores the session's local time without saying which.
		`SELECT version_id, max(tstamp)::timestamptz FROM tandem.goose_db_version WHERE is_applied GROUP BY 1`, m.schema))
	if missing(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int64]time.Time{}
	for rows.Next() {
		var version int64
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, err
		}
		out[version] = at
	}
	return out, rows.Err()
}

// refuseUnpublished is for a whole schema alone: without the relay's file the
// question has no answer, and the log's own Down asks a stricter one.
func (m *Migrator) refuseUnpublished(ctx context.Context) error {
	_, err := m.db.ExecContext(ctx, schema.Rewrite(`SELECT tandem.refuse_unpublished()`, m.schema))
	if code(err) == "42883" { // undefined_function
		return nil
	}
	return err
}

func (m *Migrator) provider() (*goose.Provider, error) {
	// Another run's turn takes well under a second; look that often, for five minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	store, err := database.NewStore(database.DialectPostgres, schema.Rewrite("tandem.goose_db_version", m.schema))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider("", m.db, m.source,
		goose.WithStore(versionTable{store}), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
}

// createSchema does not ask for the right to create what is there already.
// Two at the same time may both find it missing; the later one's error is fine.
func (m *Migrator) createSchema(ctx context.Context) error {
	var exists bool
	err := m.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, m.schema).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = m.db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{m.schema}.Sanitize())
	if code(err) == "23505" || code(err) == "42P06" { // unique_violation, duplicate_schema
		return nil
	}
	return err
}

func steps(results []*goose.MigrationResult) []Step {
	var out []Step
	for _, r := range results {
		if r.Error == nil {
			out = append(out, Step{Version: r.Source.Version, File: r.Source.Path, Applied: r.Direction == "up"})
		}
	}
	return out
}

// explain adds Postgres's hint, which database/sql users rarely get to see.
func explain(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Hint != "" {
		return fmt.Errorf("%w: %s", err, pg.Hint)
	}
	return err
}

func missing(err error) bool {
	c := code(err)
	return c == "42P01" || c == "3F000" // undefined_table, invalid_schema_name
}

func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
