package integration_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

const units = "../deploy/systemd"

// setting is the value of a line of the unit's, the last one.
func setting(t testing.TB, unit, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^`+name+`=(.+)$`).FindAllStringSubmatch(unit, -1)
	require.NotEmpty(t, found, name)
	return found[len(found)-1][1]
}

// systemd itself takes the unit without a complaint, and finds little to attack in it.
func TestTheUnitIsAsSystemdWantsIt(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(units, "tandem-relay.service"))
	require.NoError(t, err)
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		testservers.Missing(t, "systemd-analyze", errors.New("install the package systemd"))
	}
	binary := setting(t, string(text), "ExecStart")
	require.Equal(t, "/usr/local/bin/tandem relay", binary)
	unit := filepath.Join(t.TempDir(), "tandem-relay.service") // with a program that is here
	require.NoError(t, os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/tandem", "/bin/true")), 0o600))
	for _, arguments := range [][]string{{"verify", "--man=no", unit}, {"security", "--offline=true", "--threshold=20", unit}} { // 20 is 2.0 of 10
		out, err := exec.CommandContext(t.Context(), analyze, arguments...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		if arguments[0] == "verify" {
			require.Empty(t, string(out))
		}
	}
}

// The variables of the unit and of its environment file are the program's: it refuses
// those that it does not know with 2, upon which the unit is not started again.
func TestTheUnitsEnvironment(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile(filepath.Join(units, "tandem-relay.service"))
	require.NoError(t, err)
	file, err := os.ReadFile(filepath.Join(units, "relay.env"))
	require.NoError(t, err)
	password := filepath.Join(t.TempDir(), "database-password")
	require.NoError(t, os.WriteFile(password, []byte("secret\n"), 0o600))
	var environment []string
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			environment = append(environment, strings.NewReplacer("postgres.example.com", "127.0.0.1", ":5432", ":1").Replace(line))
		}
	}
	environment = append(environment, strings.ReplaceAll(setting(t, string(unit), "Environment"), "%d/database-password", password), "TANDEM_START_TIMEOUT=1ms")
	run := func(more ...string) (code int, said string) {
		cmd := exec.CommandContext(t.Context(), program(t, "tandem"), "relay")
		cmd.Env = append(append(testprograms.Environ(), environment...), more...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		return cmd.ProcessState.ExitCode(), string(out)
	}
	code, said := run()
	require.Equal(t, 1, code, said)
	require.Contains(t, said, "no answer within 1ms")
	code, said = run("TANDEM_LAESE=5s")
	require.Equal(t, setting(t, string(unit), "RestartPreventExitStatus"), "2")
	require.Equal(t, 2, code, said)

	stop, err := time.ParseDuration(setting(t, string(unit), "TimeoutStopSec"))
	require.NoError(t, err)
	help, err := exec.CommandContext(t.Context(), program(t, "tandem"), "relay", "--help").CombinedOutput()
	require.NoError(t, err)
	drain := regexp.MustCompile(`--drain-timeout .*\(default (\w+)\)`).FindStringSubmatch(string(help))
	require.NotNil(t, drain)
	most, err := time.ParseDuration(drain[1])
	require.NoError(t, err)
	require.Greater(t, stop, most+5*time.Second)
}
