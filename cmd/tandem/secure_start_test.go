package main

import (
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tandem-outbox/tandem/internal/testcerts"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// encrypt gives a server of the test's own a certificate for 127.0.0.1, and
// returns the authority that issued it.
func encrypt(t *testing.T, database string) *testcerts.Authority {
	t.Helper()
	ca := testcerts.NewAuthority(t, "ours")
	pair := ca.Issue(t, "postgres", "127.0.0.1")
	data := query[string](t, database, `SHOW data_directory`)
	for name, content := range map[string][]byte{"server.crt": pair.Certificate, "server.key": pair.Key} {
		path := filepath.Join(data, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		owner, err := os.Stat(data)
		require.NoError(t, err)
		as := owner.Sys().(*syscall.Stat_t)
		require.NoError(t, os.Chown(path, int(as.Uid), int(as.Gid)))
	}
	execute(t, database, `ALTER SYSTEM SET ssl = on`, `SELECT pg_reload_conf()`)
	require.Eventually(t, func() bool { return query[string](t, database, `SHOW ssl`) == "on" }, 30*time.Second, 10*time.Millisecond)
	return ca
}

// verified is the URL with sslmode=verify-full against the CAs of a file, and
// without its password.
func verified(t *testing.T, database, authorities string) (address, password string) {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	password, _ = u.User.Password()
	u.User = url.User(u.User.Username())
	u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {authorities}}.Encode()
	return u.String(), password
}

func TestRelayByTLSToPostgres(t *testing.T) {
	t.Parallel()
	server := testservers.OwnPostgres(t)
	ca := encrypt(t, server.URL("postgres"))
	kafka := broker(t)

	address, password := verified(t, server.URL("postgres"), testcerts.File(t, "ca.pem", ca.PEM))
	login := "TANDEM_DATABASE_PASSWORD_FILE=" + testcerts.File(t, "password", []byte(password+"\n"))
	r := tandem(t, []string{"TANDEM_DATABASE_URL=" + address, login}, "migrate", "up")
	require.Equal(t, exitDone, r.code, r.stderr)
	r = tandem(t, environment(address, kafka, login), "relay", "--until-empty")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.NotContains(t, r.stdout+r.stderr, password)

	other, _ := verified(t, server.URL("postgres"), testcerts.File(t, "other.pem", testcerts.NewAuthority(t, "another").PEM))
	r = tandem(t, environment(other, kafka, login), "relay", "--start-timeout=1h")
	r.oneLineOf(t, "certificate signed by unknown authority", "sslrootcert")
	require.NotContains(t, r.stdout+r.stderr, password)

	wrong := testcerts.File(t, "wrong", []byte("wr0ng-passw0rd"))
	r = tandem(t, environment(address, kafka, "TANDEM_DATABASE_PASSWORD_FILE="+wrong), "relay", "--start-timeout=1h")
	r.oneLineOf(t, "refuses the login", "check user and password")
	require.NotContains(t, r.stdout+r.stderr, "wr0ng-passw0rd")
}

func TestBatchesThatTheBrokersDoNotTakeAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "100000"}))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	env := environment(testservers.Migrated(t), cluster.ListenAddrs()[0])
	tandem(t, env, "relay").oneLineOf(t, "900000", "message.max.bytes is 100000", "--batch-bytes")
	r := tandem(t, env, "relay", "--until-empty", "--batch-bytes=100000")
	require.Equal(t, exitDone, r.code, r.stderr)
}
