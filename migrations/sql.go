package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing/fstest"

	"github.com/tandem-outbox/tandem/internal/schema"
)

//go:embed sql/*.sql
var files embed.FS

// in returns the migration files written for one schema. MapFS is the standard
// library's file system in memory.
func in(name string) (fs.FS, error) {
	entries, err := files.ReadDir("sql")
	if err != nil {
		return nil, err
	}
	out := fstest.MapFS{}
	for _, e := range entries {
		text, err := files.ReadFile(path.Join("sql", e.Name()))
		if err != nil {
			return nil, err
		}
		out[e.Name()] = &fstest.MapFile{Data: []byte(schema.Rewrite(string(text), name))}
	}
	return out, nil
}

// SQL returns everything that Up would run on an empty database, as one script
// for psql or another tool. An empty schemaName means "tandem".
func SQL(schemaName string) (string, error) {
	if schemaName == "" {
		schemaName = schema.Default
	}
	if err := schema.Check(schemaName); err != nil {
		return "", err
	}
	source, err := in(schemaName)
	if err != nil {
		return "", err
	}
	names, err := fs.Glob(source, "*.sql")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "BEGIN;\nCREATE SCHEMA IF NOT EXISTS %q;\n", schemaName)
	for _, n := range names {
		text, err := fs.ReadFile(source, n)
		if err != nil {
			return "", err
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		fmt.Fprintf(&b, "\n-- %s\n", n)
		for line := range strings.Lines(up) {
			if !strings.HasPrefix(line, "-- +goose") {
				b.WriteString(line)
			}
		}
	}
	b.WriteString("\nCOMMIT;\n")
	return b.String(), nil
}
