package insert_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox/internal/insert"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// The order of the call costs no sort, and the limit is looked up once, also by
// the statement for one event.
func TestPlan(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), testservers.Migrated(t))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	statements := insert.In("tandem")
	_, err = conn.Exec(t.Context(), "PREPARE add AS "+statements.Insert+"; PREPARE one AS "+statements.One)
	require.NoError(t, err)
	for _, c := range []struct{ mode, call string }{
		{"force_generic_plan", "add(" + strings.Repeat("'{}', ", 10) + "'{}')"},
		{"force_custom_plan", "add(" + strings.Repeat("'{}', ", 10) + "'{}')"},
		{"force_generic_plan", "one(" + strings.Repeat("NULL, ", 10) + "NULL)"},
		{"force_custom_plan", "one(NULL, 'orders', NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL, NULL)"},
	} {
		_, err = conn.Exec(t.Context(), "SET plan_cache_mode = "+c.mode)
		require.NoError(t, err)
		rows, err := conn.Query(t.Context(), "EXPLAIN EXECUTE "+c.call)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := strings.Join(lines, "\n")
		require.NotContains(t, plan, "Sort", plan)
		require.Contains(t, plan, "InitPlan", plan)
		require.NotContains(t, plan, "SubPlan", plan)
	}
}
