package findings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
)

// needs is what a relay and its commands need, beside the leaves: the grants of
// migrations/sql/00008_roles.sql. A test revokes each of them.
var needs = []struct{ privileges, objects string }{
	{"SELECT", "settings log log_position parked published"},
	{"SELECT INSERT TRUNCATE", "checkpoint"},
	{"SELECT UPDATE", "lease"},
	{"SELECT INSERT UPDATE DELETE", "deferred dropped request relay"},
	{"EXECUTE", "save_checkpoint compact_checkpoint leaf_is_done reclaim_leaf set_aside claimed maintain_inbox drop_inbox_leaf expire_inbox"},
}

// sqlRights: $1 the schema, $2 and $3 objects and a privilege on each. Which of
// them are missing altogether, and which privileges this role lacks.
const sqlRights = `WITH objects AS (
	SELECT c.oid, c.relname AS name, c.relkind::text AS kind FROM pg_class AS c JOIN pg_namespace AS s ON s.oid = c.relnamespace WHERE s.nspname = $1
	UNION ALL SELECT p.oid, p.proname, 'f' FROM pg_proc AS p JOIN pg_namespace AS s ON s.oid = p.pronamespace WHERE s.nspname = $1),
needs AS (
	SELECT * FROM unnest($2::text[], $3::text[]) AS n (name, privilege)
	UNION ALL SELECT c.relname, privilege FROM unnest(ARRAY['SELECT', 'TRUNCATE']) AS privilege, pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
	WHERE i.inhparent = (SELECT oid FROM objects WHERE name = 'log' AND kind = 'p'))
SELECT n.name, n.privilege, o.oid IS NULL FROM needs AS n
LEFT JOIN objects AS o ON o.name = n.name AND (o.kind = 'f') = (n.privilege = 'EXECUTE') AND o.kind NOT IN ('i', 'I')
WHERE CASE WHEN o.oid IS NULL THEN true
	WHEN o.kind = 'f' THEN NOT has_function_privilege(o.oid, n.privilege)
	WHEN o.kind = 'S' THEN NOT has_sequence_privilege(o.oid, n.privilege)
	ELSE NOT has_table_privilege(o.oid, n.privilege) END
ORDER BY n.privilege, n.name`

// sqlRole: $1 the schema. Whether the relay's role exists, and this one has its
// rights: grant_roles mends the one, only membership the other.
const sqlRole = `SELECT current_user, has_schema_privilege(s.oid, 'USAGE'), r.oid IS NOT NULL, coalesce(pg_has_role(r.oid, 'USAGE'), false)
FROM pg_namespace AS s LEFT JOIN pg_roles AS r ON r.rolname = 'tandem_relay' WHERE s.nspname = $1`

func (l *look) rights() error {
	var names, privileges []string
	for _, n := range needs {
		for _, name := range strings.Fields(n.objects) {
			for _, privilege := range strings.Fields(n.privileges) {
				names, privileges = append(names, name), append(privileges, privilege)
			}
		}
	}
	var role string
	var usage, exists, member bool
	err := l.scan(sqlRole, []any{l.schema}, &role, &usage, &exists, &member)
	if err != nil {
		return err
	}
	var absent, lacks []string
	if !usage {
		lacks = append(lacks, "USAGE ON SCHEMA tandem")
	}
	var name, privilege string
	var gone bool
	err = l.each(sqlRights, []any{l.schema, names, privileges}, []any{&name, &privilege, &gone}, func() {
		switch {
		case !gone:
			lacks = append(lacks, privilege+" ON tandem."+name)
		case !slices.Contains(absent, name):
			absent = append(absent, name)
		}
	})
	if len(absent) > 0 {
		l.add(advice.ObjectsMissing, "there is no "+qualified(absent), "the relay works with it", "restore it: tandem migrate print has its definition")
	}
	if len(lacks) > 0 {
		problem, remedy := fmt.Sprintf("role %q lacks %s", role, strings.Join(lacks, ", ")), "SELECT tandem.grant_roles()"
		if !member {
			problem, remedy = fmt.Sprintf("role %q is no member of tandem_relay, and lacks %s", role, some(lacks)), "GRANT tandem_relay TO "+pgx.Identifier{role}.Sanitize()
		}
		if !exists {
			remedy = "CREATE ROLE tandem_relay NOLOGIN; SELECT tandem.grant_roles(); " + remedy
		}
		l.add(advice.Rights, problem, "the relay would fail in the middle of its work", remedy)
	}
	return err
}

// some are the first of many: a login that is no member lacks some sixty rights.
func some(names []string) string {
	const shown = 3
	if len(names) <= shown+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// sqlWriter: $1 the schema. What the writers' role may and must not.
const sqlWriter = `SELECT format('%s (%s)', c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum)), c.relname
FROM pg_roles AS r, pg_namespace AS s JOIN pg_class AS p ON p.relnamespace = s.oid AND p.relname = 'log'
	JOIN pg_class AS c ON c.oid = p.oid OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = p.oid)
	JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname IN ('tx', 'position')
WHERE r.rolname = 'tandem_writer' AND s.nspname = $1
	AND (has_column_privilege(r.oid, c.oid, a.attnum, 'INSERT') OR has_column_privilege(r.oid, c.oid, a.attnum, 'UPDATE'))
GROUP BY c.relname
UNION ALL SELECT c.relname, c.relname
FROM pg_roles AS r, pg_namespace AS s JOIN pg_class AS c ON c.relnamespace = s.oid AND c.relname = 'log_position' AND c.relkind = 'S'
WHERE r.rolname = 'tandem_writer' AND s.nspname = $1 AND has_sequence_privilege(r.oid, c.oid, 'UPDATE')
ORDER BY 1`

func (l *look) writer() error {
	var what, table string
	var may, tables []string
	err := l.each(sqlWriter, []any{l.schema}, []any{&what, &table}, func() {
		may, tables = append(may, what), append(tables, table)
	})
	if len(may) > 0 {
		l.add(advice.WriterRights, "role tandem_writer may set "+qualified(may), "a writer could give an event another place in the log, where it is not read or breaks its key's order",
			fmt.Sprintf("REVOKE ALL ON %s FROM tandem_writer, PUBLIC; SELECT tandem.grant_roles()", qualified(tables)))
	}
	return err
}
