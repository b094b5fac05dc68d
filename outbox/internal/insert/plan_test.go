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

// The order of the call costs no sort, and the limit is looked up once.
func TestPlan(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), testservers.Migrated(t))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	statement := insert.In("tandem").Insert
	_, err = conn.Exec(t.Context(), "PREPARE add AS "+statement)
	require.NoError(t, err)
	for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
		_, err = conn.Exec(t.Context(), "SET plan_cache_mode = "+mode)
		require.NoError(t, err)
		rows, err := conn.Query(t.Context(), "EXPLAIN EXECUTE add("+strings.Repeat("'{}', ", 10)+"'{}')")
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := strings.Join(lines, "\n")
		require.NotContains(t, plan, "Sort", plan)
		require.Contains(t, plan, "InitPlan", plan)
		require.NotContains(t, plan, "SubPlan", plan)
	}
}
