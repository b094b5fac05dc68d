package findings

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
)

// sqlFunctions: $1 the schema. What the last migration has recorded of each
// function, and the same now. It is written out here, because a function that
// computed it could be replaced too.
const sqlFunctions = `SELECT coalesce(functions, '{}'), (
	SELECT coalesce(jsonb_object_agg(format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)),
		md5(concat_ws(' ', p.prosrc, p.proconfig, p.prosecdef, p.provolatile, l.lanname))), '{}')
	FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang JOIN pg_namespace AS s ON s.oid = p.pronamespace
	WHERE s.nspname = $1)
FROM tandem.settings`

func (l *look) functions() error {
	var recorded, now map[string]string
	err := l.scan(sqlFunctions, []any{l.schema}, &recorded, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // of which rows tells
	}
	if err != nil {
		return err
	}
	if len(recorded) == 0 {
		l.add(advice.FunctionsUnknown, "tandem.settings does not say how Tandem's functions were made", "it cannot be told whether one was replaced", "restore its column functions from a dump, or from another database of this version")
	}
	var replaced, gone []string
	for _, name := range slices.Sorted(maps.Keys(recorded)) {
		switch is, ok := now[name]; {
		case !ok:
			gone = append(gone, name)
		case is != recorded[name]:
			replaced = append(replaced, name)
		}
	}
	const remedy = "take the definition from tandem migrate print, with CREATE OR REPLACE"
	if len(replaced) > 0 {
		l.add(advice.FunctionsReplaced, "not as the migrations made it: "+qualified(replaced), "what Tandem promises was tested with its own functions", remedy)
	}
	if len(gone) > 0 {
		l.add(advice.FunctionsDropped, "dropped: "+qualified(gone), "whoever calls it fails", strings.Replace(remedy, " OR REPLACE", "", 1)+"; then SELECT tandem.grant_roles()")
	}
	return nil
}
