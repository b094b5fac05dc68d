package migrations

import (
	"testing/fstest"
	"time"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// With gives the Migrator a further file, as a later version of this package has it.
func (m *Migrator) With(name, text string) {
	files := m.source.(fstest.MapFS)
	files[name] = &fstest.MapFile{Data: []byte(withLockTimeout(schema.Rewrite(text, m.schema)))}
}

// Hurry shortens the pauses of a migration that waits, and how long it waits at all.
func (m *Migrator) Hurry(pause, patience time.Duration) { m.pause, m.patience = pause, patience }
