package localpg_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tandem-outbox/tandem/internal/localpg"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// parentVariable makes this test binary the parent that is killed.
const parentVariable = "LOCALPG_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) != "" {
		s, err := localpg.Start(context.Background(), localpg.Options{})
		if err != nil {
			panic(err)
		}
		fmt.Println(s.URL("postgres"))
		select {}
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, o localpg.Options) *localpg.Server {
	t.Helper()
	began := time.Now()
	s, err := localpg.Start(t.Context(), o)
	if errors.Is(err, localpg.ErrUnavailable) {
		testservers.Missing(t, "PostgreSQL", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	t.Logf("PostgreSQL %d answered after %s", s.Version(), time.Since(began).Round(time.Millisecond))
	return s
}

func connect(t *testing.T, s *localpg.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func query(t *testing.T, conn *pgx.Conn, sql string) (answer string) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&answer))
	return answer
}

func TestServerIsDurablePrivateAndDisappears(t *testing.T) {
	parent, err := os.MkdirTemp("", "localpg-test-") //nolint:usetesting // t.TempDir is closed to the user that a root's server runs as
	require.NoError(t, err)
	require.NoError(t, os.Chmod(parent, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(parent) })

	s, err := localpg.Start(t.Context(), localpg.Options{Dir: parent, Settings: map[string]string{"application_name": "it's set"}})
	require.NoError(t, err)
	conn := connect(t, s)
	require.Equal(t, "on", query(t, conn, "SHOW fsync"))
	require.Equal(t, "scram-sha-256", query(t, conn, "SHOW password_encryption"))
	require.Equal(t, "127.0.0.1", query(t, conn, "SHOW listen_addresses"))
	require.Equal(t, "", query(t, conn, "SHOW unix_socket_directories"))
	require.Equal(t, "it's set", query(t, conn, "SELECT reset_val FROM pg_settings WHERE name = 'application_name'"))

	require.NoError(t, s.Stop())
	require.Error(t, conn.Ping(t.Context()))
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestWrongPasswordIsRefused(t *testing.T) {
	s := start(t, localpg.Options{})
	config, err := pgx.ParseConfig(s.URL("postgres"))
	require.NoError(t, err)
	config.Password = "wrong"
	_, err = pgx.ConnectConfig(t.Context(), config)
	var refused *pgconn.PgError
	require.True(t, errors.As(err, &refused), "%v", err)
	require.Equal(t, "28P01", refused.Code)
}

func TestCommittedRowsSurviveCrashes(t *testing.T) {
	s := start(t, localpg.Options{})
	conn := connect(t, s)
	_, err := conn.Exec(t.Context(), "CREATE TABLE kept (n int)")
	require.NoError(t, err)
	crashes := map[string]func(){
		"kill":      s.Kill,
		"immediate": func() { require.NoError(t, s.StopImmediate()) },
		"restart":   func() {},
	}
	port, rows := s.Port(), 0
	for name, crash := range crashes {
		_, err := connect(t, s).Exec(t.Context(), "INSERT INTO kept VALUES (1)")
		require.NoError(t, err)
		rows++
		crash()
		require.NoError(t, s.Restart(t.Context()), name)
		require.Equal(t, port, s.Port())
		require.Equal(t, strconv.Itoa(rows), query(t, connect(t, s), "SELECT count(*)::text FROM kept"), name)
	}
}

func TestServerDiesWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a program that its parent has died")
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"=1")
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	url, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), strings.TrimSpace(url))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	data := query(t, conn, "SHOW data_directory")

	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	// An immediate shutdown that is complete takes the pid file along.
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(data, "postmaster.pid"))
		return errors.Is(err, os.ErrNotExist)
	}, 30*time.Second, 10*time.Millisecond)
	require.Error(t, conn.Ping(t.Context()))
	start(t, localpg.Options{}) // and this removes what the killed one left
	require.NoDirExists(t, data)
}

func TestDownloadedVersion(t *testing.T) {
	s := start(t, localpg.Options{Version: "18", Download: true})
	require.Equal(t, 18, s.Version())
	require.True(t, strings.HasPrefix(query(t, connect(t, s), "SHOW server_version"), "18"))
}

func TestUnknownVersionIsRefused(t *testing.T) {
	_, err := localpg.Start(t.Context(), localpg.Options{Version: "13"})
	require.ErrorContains(t, err, `version "13" is not one of 14, 15, 16, 17, 18`)
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	_, err := localpg.Start(t.Context(), localpg.Options{Settings: map[string]string{"shared_buffers": "much"}})
	require.ErrorContains(t, err, "shared_buffers")
}

// A standby has what the primary commits, refuses writes, and takes them once it
// is promoted.
func TestStandbyFollowsAndIsPromoted(t *testing.T) {
	primary := start(t, localpg.Options{})
	standby, err := primary.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Stop()) })
	_, err = connect(t, primary).Exec(t.Context(), "CREATE TABLE streamed ()")
	require.NoError(t, err)
	conn := connect(t, standby)
	require.Eventually(t, func() bool {
		_, err := conn.Exec(context.Background(), "SELECT FROM streamed")
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	const write = "CREATE TABLE own ()"
	_, err = conn.Exec(t.Context(), write)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "25006", pg.Code, "read_only_sql_transaction")
	require.NoError(t, standby.Promote(t.Context()))
	_, err = conn.Exec(t.Context(), write)
	require.NoError(t, err)
}
