package migrations_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// catalogQuery lists what a schema is made of, one line each.
const catalogQuery = `
SELECT concat_ws(' ', 'relation', c.relname, c.relkind, c.relacl, c.reloptions, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid))
    FROM pg_class c WHERE c.relnamespace = $1::regnamespace
UNION ALL SELECT concat_ws(' ', 'column', c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        pg_get_expr(d.adbin, d.adrelid), a.attacl)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
UNION ALL SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid))
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = $1::regnamespace
UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = $1::regnamespace
UNION ALL SELECT concat_ws(' ', 'function', pg_get_functiondef(oid), proacl)
    FROM pg_proc WHERE pronamespace = $1::regnamespace
UNION ALL SELECT concat_ws(' ', 'sequence', sequencename, data_type, increment_by, cache_size, cycle)
    FROM pg_sequences WHERE schemaname = $2`

// catalog is what the schema is made of, written as if its name were tandem.
func catalog(t testing.TB, address, name string) []string {
	t.Helper()
	conn := connect(t, address)
	rows, err := conn.Query(t.Context(), catalogQuery, pgx.Identifier{name}.Sanitize(), name)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	own := regexp.MustCompile(`"?\b` + name + `\b"?\.`)
	for i, line := range lines {
		lines[i] = own.ReplaceAllLiteralString(strings.ReplaceAll(line, ` SCHEMA "`+name+`"`, " SCHEMA tandem"), "tandem.")
	}
	slices.Sort(lines)
	return lines
}
