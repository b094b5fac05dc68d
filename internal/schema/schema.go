// Package schema knows the name of Tandem's schema in a database and the
// version of it that this code was written for.
package schema

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	// Default is the schema's name where nothing else is configured.
	Default = "tandem"
	// Version is the schema's version that this code was written for: the number
	// of the newest file under migrations/sql.
	Version = 8
)

var name = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// Check tells whether s can be the schema's name. The rule is narrower than
// Postgres's so that a name needs no quoting anywhere an operator types it.
func Check(s string) error {
	if !name.MatchString(s) || strings.HasPrefix(s, "pg_") {
		return fmt.Errorf("schema %q: a name has 1 to 40 of a-z, 0-9 and '_', begins with no digit and not with pg_ (the default is %q)", s, Default)
	}
	return nil
}

// Rewrite turns a statement written for the default schema into one for s: it
// replaces "tandem." and "SCHEMA tandem", and neither role names nor prose.
func Rewrite(statement, s string) string {
	if s == "" || s == Default {
		return statement
	}
	statement = qualifier.ReplaceAllLiteralString(statement, `"`+s+`".`)
	return object.ReplaceAllString(statement, `${1} "`+s+`"`)
}

var (
	qualifier = regexp.MustCompile(`\btandem\.`)
	object    = regexp.MustCompile(`\b(SCHEMA) tandem\b`)
)
