package migrations

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// A schema that a newer program has migrated further. An older Up has nothing to do
// there, if programs of its version still work; an older DownTo does not know how.

// unknown are the applied migrations that this program does not have, in order.
func (m *Migrator) unknown(applied map[int64]time.Time) ([]int64, error) {
	p, err := m.provider()
	if err != nil {
		return nil, err
	}
	rest := maps.Clone(applied)
	delete(rest, 0) // goose's own
	for _, s := range p.ListSources() {
		delete(rest, s.Version)
	}
	return slices.Sorted(maps.Keys(rest)), nil
}

// checkNewer tells whether the schema has migrations that this program does not
// have; the error, that it does not work with such a schema.
func (m *Migrator) checkNewer(ctx context.Context) (newer bool, err error) {
	applied, err := m.appliedVersions(ctx)
	if err != nil {
		return false, err
	}
	unknown, err := m.unknown(applied)
	if err != nil || len(unknown) == 0 {
		return false, err
	}
	var v schema.Versions
	if err := m.db.QueryRowContext(ctx, schema.Rewrite(schema.VersionsSQL, m.schema)).Scan(&v.Schema, &v.WorksWith); err != nil {
		return true, err
	}
	return true, v.Check(m.schema)
}

// refuseUnknown is for DownTo.
func (m *Migrator) refuseUnknown(applied map[int64]time.Time, version int64) error {
	unknown, err := m.unknown(applied)
	if err != nil || len(unknown) == 0 || unknown[len(unknown)-1] <= version {
		return err
	}
	return fmt.Errorf("schema %q has migrations that this program does not know, the newest is %d: take them back with the release that brought them",
		m.schema, unknown[len(unknown)-1])
}
