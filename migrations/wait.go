package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// Who waits for a table in vain has everybody who comes later wait behind him: a
// migration that needs the log for itself would stop every writer for as long as one
// transaction is open. So a migration waits for a lock no longer than lockTimeout;
// then it is rolled back, lets the others go first for lockPause, and begins again.
// After patience it gives up.
const (
	lockTimeout = time.Second
	lockPause   = 4 * time.Second
	patience    = 5 * time.Minute
)

// withLockTimeout puts the limit into a file's transactions, up and down. It is not
// the session's, which a pooler might give to others.
func withLockTimeout(text string) string {
	limit := fmt.Sprintf("\nSET LOCAL lock_timeout = %d;", lockTimeout.Milliseconds())
	for _, direction := range []string{"-- +goose Up", "-- +goose Down"} {
		text = strings.Replace(text, direction, direction+limit, 1)
	}
	return text
}

// patiently runs migrations until they are through, or fail for another reason than
// a lock that somebody has.
func (m *Migrator) patiently(ctx context.Context, run func(*goose.Provider) ([]*goose.MigrationResult, error)) ([]Step, error) {
	p, err := m.provider()
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(m.patience)
	var done []Step
	for {
		results, err := run(p)
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			results = partial.Applied
		}
		done = append(done, steps(results)...)
		if c := code(err); c != "55P03" && c != "40P01" { // lock_not_available, deadlock_detected
			return done, explain(err)
		}
		if time.Now().After(deadline) {
			return done, fmt.Errorf("a table stayed locked for %v: %w; in the way: %s", m.patience, err, m.inTheWay(ctx))
		}
		m.notice(ctx)
		select {
		case <-ctx.Done():
			return done, ctx.Err()
		case <-time.After(m.pause):
		}
	}
}

// sqlInTheWay names the sessions that have something of the schema, the oldest
// transaction first. It reads the catalog and takes no lock on a table.
const sqlInTheWay = `SELECT coalesce(string_agg(who, '; '), 'no session any more, or a prepared transaction: see pg_prepared_xacts') FROM (
	SELECT format('session %s of %s%s, in a transaction since %s', a.pid, a.usename, ' (' || nullif(a.application_name, '') || ')', a.xact_start) AS who
	FROM pg_stat_activity AS a
	WHERE a.pid <> pg_backend_pid() AND EXISTS (
		SELECT FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation' AND c.relkind IN ('r', 'p')
			AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND n.nspname = 'tandem_schema')
	ORDER BY a.xact_start LIMIT 3) AS w`

func (m *Migrator) whoSQL() string { return strings.Replace(sqlInTheWay, "tandem_schema", m.schema, 1) }

func (m *Migrator) inTheWay(ctx context.Context) (who string) {
	if err := m.db.QueryRowContext(ctx, m.whoSQL()).Scan(&who); err != nil {
		return "not known (" + err.Error() + ")"
	}
	return who
}

// notice has the server tell, through config.OnNotice, what is waited for.
func (m *Migrator) notice(ctx context.Context) {
	_, _ = m.db.ExecContext(ctx, fmt.Sprintf(`DO $tandem$ BEGIN
		RAISE NOTICE 'a table is locked; trying again in %%, writers go on meanwhile; in the way: %%', '%v', (%s);
	END $tandem$`, m.pause, m.whoSQL()))
}
