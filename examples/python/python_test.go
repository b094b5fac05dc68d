// Package python_test runs the example in Python as its README says: in an environment
// of its own, while "tandem relay" runs.
package python_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/localproc"
	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func TestExampleDoesWhatItSays(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	promised := regexp.MustCompile("(?s)prints:\n\n```text\n(.*?)```\n").FindSubmatch(readme)
	require.NotNil(t, promised)
	python := environment(t)
	brokers := strings.Join(testservers.Kafka(t), ",")
	database := testservers.Migrated(t)
	stop := startRelay(t, database, brokers)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	story := exec.CommandContext(ctx, python, "-B", "story.py")
	story.Env = append(os.Environ(), "DATABASE_URL="+database, "KAFKA_BROKERS="+brokers)
	var out, log bytes.Buffer
	story.Stdout, story.Stderr = &out, &log
	err = story.Run()
	relayed := stop()
	require.NoErrorf(t, err, "it printed\n%s\nand logged\n%s\nand the relay\n%s", &out, &log, relayed)
	require.Equalf(t, string(promised[1]), out.String(), "it logged\n%s", &log)
}

// startRelay runs "tandem relay" until stop is called, which returns what it logged.
func startRelay(t *testing.T, database, brokers string) (stop func() string) {
	t.Helper()
	dir := t.TempDir()
	testprograms.Build(t, dir, "../../cmd/tandem")
	relay := exec.Command(filepath.Join(dir, "tandem"), "relay", "--http-addr", "127.0.0.1:0")
	relay.Env = append(os.Environ(), "TANDEM_DATABASE_URL="+database, "TANDEM_KAFKA_BROKERS="+brokers)
	var log bytes.Buffer
	relay.Stdout, relay.Stderr = &log, &log
	require.NoError(t, relay.Start())
	stopped := false
	stop = func() string {
		if !stopped {
			stopped = true
			_ = relay.Process.Signal(os.Interrupt)
			_ = relay.Wait()
		}
		return log.String()
	}
	t.Cleanup(func() { stop() })
	return stop
}

// environment is the Python of a virtual environment with requirements.txt in it. It
// is kept in this machine's cache directory, by what is in it.
func environment(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.CommandContext(t.Context(), python, "-c", "import venv, ensurepip").Run()
	}
	if err != nil {
		testservers.Missing(t, "Python", fmt.Errorf("python3 with venv is not installed: %w; Debian and Ubuntu: apt-get install python3-venv", err))
	}
	version, err := exec.CommandContext(t.Context(), python, "-c", "import sys; print(sys.executable, sys.version)").Output()
	require.NoError(t, err)
	requirements, err := os.ReadFile("requirements.txt")
	require.NoError(t, err)
	cache, err := localproc.CacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, fmt.Sprintf("python-%x", sha256.Sum256(append(version, requirements...))))
	complete := filepath.Join(dir, "complete")
	require.NoError(t, localproc.Exclusively(dir+".lock", func() error {
		if _, err := os.Stat(complete); err == nil {
			return nil
		}
		for _, command := range [][]string{
			{python, "-m", "venv", "--clear", dir},
			{filepath.Join(dir, "bin", "pip"), "install", "--disable-pip-version-check", "--no-input", "-r", "requirements.txt"},
		} {
			if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("%q: %w: %s", command, err, out)
			}
		}
		return os.WriteFile(complete, nil, 0o644)
	}))
	return filepath.Join(dir, "bin", "python")
}
