package relay

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// The reader's statements keep their plans on a million rows, also where they
// were prepared while the leaves were empty, and analysed as empty: walks of
// log_tx and of the position indexes, no sort of the log, no sequential scan.
func TestPlansOfTheReader(t *testing.T) {
	t.Parallel()
	url := testservers.Migrated(t)
	early := prepared(t, url, `ANALYZE tandem.log`)
	late := prepared(t, url, `INSERT INTO tandem.log (topic, key, payload)
		SELECT 'orders', 'k' || n % 1000, decode(repeat('ab', 200), 'hex') FROM generate_series(1, 1000000) AS n`)
	_, err := early.Exec(t.Context(), `INSERT INTO tandem.checkpoint (prev) VALUES (pg_current_snapshot())`)
	require.NoError(t, err)
	for name, conn := range map[string]*pgx.Conn{"prepared on empty leaves": early, "prepared on a million rows": late} {
		t.Run(name, func(t *testing.T) {
			var now string
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT pg_current_snapshot()::text`).Scan(&now))
			idle := explain(t, conn, fmt.Sprintf(`EXECUTE poll('%s', 6000, 2000000, NULL)`, now))
			require.Regexp(t, `Index Scan using log_00_tx_idx`, idle)
			require.NotRegexp(t, `Seq Scan on log|Sort Method|Bitmap`, idle)
			require.Less(t, blocks(t, idle), 500, "an idle poll looks at more than the ends of the indexes:\n%s", idle)

			full := explain(t, conn, `EXECUTE poll('3:3:', 6000, 2000000, NULL)`)
			require.NotRegexp(t, `Seq Scan on log|Sort Method|Bitmap`, full)
			require.Less(t, blocks(t, full), 20_000, "a full poll reads more than its rows:\n%s", full)

			for _, statement := range []string{`page('3:3:', '%s', 500000, 1000000, 6000, NULL, 2000000)`, `small('3:3:', '%s', 500000, 1000000, 6000, NULL)`} {
				page := explain(t, conn, fmt.Sprintf(`EXECUTE `+statement, now))
				require.Regexp(t, `Index Scan using log_03_position`, page)
				require.NotRegexp(t, `Seq Scan|Sort Method|Bitmap`, page)
				require.Less(t, blocks(t, page), 20_000, "a page reads more than its rows:\n%s", page)
			}

			replay := explain(t, conn, `EXECUTE replay(500000, 550000, NULL, 'k7', NULL, NULL, NULL, 100, 2000000)`)
			require.Regexp(t, `Index Scan using log_03_position`, replay)
			require.NotRegexp(t, `Seq Scan on log|Sort Method|Bitmap`, replay)
			require.Less(t, blocks(t, replay), 20_000, "a replay's page reads more than its positions:\n%s", replay)
		})
	}
}

// prepared returns a session like the reader's that ran a statement, prepared
// those of the reader, and executed them more often than it takes to choose a
// generic plan.
func prepared(t *testing.T, url, first string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	exec := func(statement string) {
		t.Helper()
		_, err := conn.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	exec(first)
	exec(sqlSession)
	exec(`PREPARE poll AS ` + sqlPoll)
	exec(`PREPARE page AS ` + sqlPage)
	exec(`PREPARE small AS ` + sqlSmallPage)
	exec(`PREPARE replay AS ` + sqlReplayPage)
	for range 6 {
		exec(`EXECUTE replay(0, 100, NULL, NULL, NULL, NULL, NULL, 100, 2000000)`)
		exec(`EXECUTE poll('3:3:', 6000, 2000000, NULL)`)
		exec(`EXECUTE page('3:3:', pg_current_snapshot(), 0, 100, 6000, NULL, 2000000)`)
		exec(`EXECUTE small('3:3:', pg_current_snapshot(), 0, 100, 6000, NULL)`)
	}
	return conn
}

func explain(t *testing.T, conn *pgx.Conn, statement string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) `+statement, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

var bufferCount = regexp.MustCompile(`Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?`)

// blocks is how many blocks the whole statement touched: what its top node says.
func blocks(t *testing.T, plan string) int {
	t.Helper()
	m := bufferCount.FindStringSubmatch(plan)
	require.NotNil(t, m, plan)
	hit, _ := strconv.Atoi(m[1])
	read, _ := strconv.Atoi(m[2])
	return hit + read
}
