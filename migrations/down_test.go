package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

const publishAll = `INSERT INTO tandem.checkpoint (prev) SELECT pg_catalog.pg_current_snapshot()`

// Nothing is taken back, the inbox included, while an event is unpublished.
func TestDownRefusesUnpublished(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	m, conn := open(t, address, ""), connect(t, address)
	_, err := conn.Exec(t.Context(), "SELECT tandem.add('t', 'x')")
	require.NoError(t, err)
	for _, empty := range []bool{false, true} { // a dump may contain an empty checkpoint
		if empty {
			_, err := conn.Exec(t.Context(), "TRUNCATE tandem.checkpoint")
			require.NoError(t, err)
		}
		steps, err := m.DownTo(t.Context(), 0)
		require.Equal(t, "TD002", code(t, err))
		require.ErrorContains(t, err, "--until-empty")
		require.Empty(t, steps)
		require.Equal(t, schema.Version, applied(t, m))
	}

	_, err = conn.Exec(t.Context(), publishAll)
	require.NoError(t, err)
	_, err = m.DownTo(t.Context(), 0)
	require.NoError(t, err)
	require.Zero(t, applied(t, m))
}

// A writer that adds while the files are being taken back loses nothing: the
// file that drops the log looks again.
func TestDownRefusesWhatCameMeanwhile(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	m, conn := open(t, address, ""), connect(t, address)
	_, err := conn.Exec(t.Context(), "SELECT tandem.add('t', 'published')")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), publishAll)
	require.NoError(t, err)
	_, err = m.DownTo(t.Context(), 2) // what the log stands on is left
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "INSERT INTO tandem.log (topic) VALUES ('meanwhile')")
	require.NoError(t, err)

	_, err = m.DownTo(t.Context(), 0)
	require.Equal(t, "TD002", code(t, err))
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), "SELECT topic FROM tandem.log")
	require.NoError(t, err)
	topics, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"meanwhile"}, topics)
	_, err = m.DownTo(t.Context(), 0)
	require.Equal(t, "TD002", code(t, err))
}
