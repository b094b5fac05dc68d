package migrations_test

import (
	"context"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/migrations"
)

func open(t testing.TB, address, schemaName string) *migrations.Migrator {
	t.Helper()
	return openWith(t, parse(t, address), schemaName)
}

func openWith(t testing.TB, config *pgx.ConnConfig, schemaName string) *migrations.Migrator {
	t.Helper()
	m, err := migrations.Open(config, schemaName)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func parse(t testing.TB, address string) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	config.RuntimeParams["search_path"] = ""
	return config
}

func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), parse(t, address))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func code(t testing.TB, err error) string {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	return pg.Code
}

func applied(t testing.TB, m *migrations.Migrator) (n int) {
	t.Helper()
	steps, err := m.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, steps, schema.Version)
	for i, s := range steps {
		require.EqualValues(t, i+1, s.Version)
		require.Equal(t, s.Applied, !s.AppliedAt.IsZero())
		if s.Applied {
			n++
		}
	}
	return n
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tandem", "order"} { // a reserved word, too
		t.Run(name, func(t *testing.T) {
			address := testservers.Postgres(t)
			m := open(t, address, name)
			require.Zero(t, applied(t, m))
			steps, err := m.DownTo(t.Context(), 0)
			require.NoError(t, err)
			require.Empty(t, steps, "there is nothing yet")

			steps, err = m.Up(t.Context())
			require.NoError(t, err)
			require.Len(t, steps, schema.Version)
			require.Equal(t, schema.Version, applied(t, m))
			before := catalog(t, address, name)

			steps, err = m.Up(t.Context())
			require.NoError(t, err)
			require.Empty(t, steps)

			steps, err = m.DownTo(t.Context(), 0)
			require.NoError(t, err)
			require.Len(t, steps, schema.Version)
			require.Zero(t, applied(t, m))
			for _, line := range catalog(t, address, name) {
				require.Contains(t, line, "goose_db_version", "left behind by down")
			}
			requireRoles(t, address)

			_, err = m.Up(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, catalog(t, address, name))
		})
	}
}

func requireRoles(t testing.TB, address string) {
	t.Helper()
	var n int
	require.NoError(t, connect(t, address).QueryRow(t.Context(),
		"SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname IN ('tandem_writer', 'tandem_relay', 'tandem_consumer')").Scan(&n))
	require.Equal(t, 3, n)
}

func TestVersionIsTheNewestFile(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	var version, worksWith int
	require.NoError(t, connect(t, address).QueryRow(t.Context(), "SELECT schema_version, works_with FROM tandem.settings").Scan(&version, &worksWith))
	require.Equal(t, schema.Version, version)
	require.LessOrEqual(t, worksWith, version)
	steps, err := open(t, address, "").Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, schema.Version, steps[len(steps)-1].Version)
	require.Equal(t, ".sql", path.Ext(steps[0].File))
}

// goose writes the session's local time down; Status gives the moment.
func TestTimeOfApplication(t *testing.T) {
	t.Parallel()
	config := parse(t, testservers.Postgres(t))
	config.RuntimeParams["timezone"] = "Asia/Kolkata"
	m := openWith(t, config, "")
	_, err := m.Up(t.Context())
	require.NoError(t, err)
	steps, err := m.Status(t.Context())
	require.NoError(t, err)
	for _, s := range steps {
		require.WithinDuration(t, time.Now(), s.AppliedAt, 10*time.Minute)
	}
}

// Every file leaves its number, upwards and downwards.
func TestVersionFollowsEachFile(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	m, conn := open(t, address, ""), connect(t, address)
	for want := schema.Version - 1; want > 0; want-- {
		_, err := m.DownTo(t.Context(), int64(want))
		require.NoError(t, err)
		var version, worksWith int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT schema_version, works_with FROM tandem.settings").Scan(&version, &worksWith))
		require.Equal(t, want, version)
		require.LessOrEqual(t, worksWith, version)
	}
}

func TestConcurrentUp(t *testing.T) {
	t.Parallel()
	address := testservers.Postgres(t)
	var mu sync.Mutex
	total := 0
	group, ctx := errgroup.WithContext(t.Context())
	for range 4 {
		m := open(t, address, "")
		group.Go(func() error {
			steps, err := m.Up(ctx)
			mu.Lock()
			defer mu.Unlock()
			total += len(steps)
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Equal(t, schema.Version, total, "each file ran once")
}

func TestTwoSchemasSideBySide(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	other := open(t, address, "other")
	_, err := other.Up(t.Context())
	require.NoError(t, err)
	renamed := catalog(t, address, "other")
	require.Equal(t, catalog(t, address, "tandem"), renamed)
	_, err = other.DownTo(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, schema.Version, applied(t, open(t, address, "tandem")))
	require.Zero(t, applied(t, other))
}

func TestBadNames(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"Tandem", "a-b", "1st", "pg_tandem", `a"b`, "a b", "é", strings.Repeat("a", 41)} {
		_, err := migrations.Open(&pgx.ConnConfig{}, bad)
		require.Error(t, err, bad)
		_, err = migrations.SQL(bad)
		require.Error(t, err, bad)
	}
}

// The printed script is what Up does, goose's memory of it included.
func TestScriptEqualsUp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tandem", "order"} {
		byUp, byScript := testservers.Postgres(t), testservers.Postgres(t)
		_, err := open(t, byUp, name).Up(t.Context())
		require.NoError(t, err)
		script, err := migrations.SQL(name)
		require.NoError(t, err)
		_, err = connect(t, byScript).PgConn().Exec(t.Context(), script).ReadAll()
		require.NoError(t, err)
		require.Equal(t, catalog(t, byUp, name), catalog(t, byScript, name))

		m := open(t, byScript, name)
		require.Equal(t, schema.Version, applied(t, m))
		steps, err := m.Up(t.Context())
		require.NoError(t, err)
		require.Empty(t, steps)
		_, err = m.DownTo(t.Context(), 0)
		require.NoError(t, err)
	}
}
