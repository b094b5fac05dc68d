package migrations_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// heldSQL: the locks of this transaction on tables and sequences of Tandem's, as
// "relation mode", that are not those of a reader or of one who writes rows.
const heldSQL = `SELECT c.oid::int8, c.relname || ' ' || l.mode
	FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
	WHERE l.pid = pg_catalog.pg_backend_pid() AND c.relnamespace = 'tandem'::regnamespace AND c.relkind IN ('r', 'p', 'S', 'i', 'I')
		AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
	ORDER BY 2`

type heldLock struct {
	OID  int64
	Lock string
}

// docs/upgrading.md has a row for each migration, and says there of each lock on what
// was there before that writers, a relay or consumers would meet: this test finds it.
func TestLocksAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/upgrading.md")
	require.NoError(t, err)
	files, err := filepath.Glob("sql/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	conn := connect(t, testservers.Postgres(t))
	_, err = conn.Exec(t.Context(), `CREATE SCHEMA tandem`)
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		existed := map[int64]bool{}
		rows, err := conn.Query(t.Context(), `SELECT oid::int8 FROM pg_catalog.pg_class`)
		require.NoError(t, err)
		oids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		require.NoError(t, err)
		for _, oid := range oids {
			existed[oid] = true
		}

		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		_, err = conn.PgConn().Exec(t.Context(), up).ReadAll()
		require.NoError(t, err, file)
		rows, err = tx.Query(t.Context(), heldSQL)
		require.NoError(t, err)
		held, err := pgx.CollectRows(rows, pgx.RowToStructByPos[heldLock])
		require.NoError(t, err)
		locks := "none"
		for _, l := range held {
			if existed[l.OID] {
				locks = strings.TrimPrefix(locks+", `"+l.Lock+"`", "none, ")
			}
		}
		require.NoError(t, tx.Commit(t.Context()))
		require.Contains(t, string(page), "| `"+filepath.Base(file)+"` | "+locks+" |", "docs/upgrading.md says something else")
	}
}
