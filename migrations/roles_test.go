package migrations_test

import (
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// A login that may not create roles migrates all the same, and is told what is
// left to do. On a server of its own: roles belong to the cluster.
func TestLoginWithoutCreateRole(t *testing.T) {
	t.Parallel()
	address := testservers.OwnPostgres(t).URL("postgres")
	admin := connect(t, address)
	for _, statement := range []string{"CREATE ROLE service LOGIN PASSWORD 'x'", "CREATE DATABASE shop OWNER service"} {
		_, err := admin.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User, u.Path = url.UserPassword("service", "x"), "/shop"

	var notices []string
	config := parse(t, u.String())
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
	m := openWith(t, config, "")
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, schema.Version, applied(t, m))
	require.Len(t, notices, 3)
	for i, role := range []string{"tandem_writer", "tandem_relay", "tandem_consumer"} {
		require.Contains(t, notices[i], "CREATE ROLE "+role+" NOLOGIN")
		require.Contains(t, notices[i], "SELECT tandem.grant_roles()")
		_, err := admin.Exec(t.Context(), "CREATE ROLE "+role+" NOLOGIN")
		require.NoError(t, err)
	}

	// As told, by the owner of the schema; then a writer can write.
	owner := connect(t, u.String())
	_, err = owner.Exec(t.Context(), "SELECT tandem.grant_roles()")
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), "CREATE ROLE checkout LOGIN PASSWORD 'x' IN ROLE tandem_writer")
	require.NoError(t, err)
	u.User = url.UserPassword("checkout", "x")
	_, err = connect(t, u.String()).Exec(t.Context(), "SELECT tandem.add('t', 'x')")
	require.NoError(t, err)
}
