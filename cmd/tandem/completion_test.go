package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// shellDir is a directory with the program under its name and some files, for shells
// that complete there.
func shellDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.Symlink(self, filepath.Join(dir, "bin", "tandem")))
	for _, name := range []string{"tandem.yaml", "notes.txt", "ca.pem"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	return dir
}

// completed is what a shell, run as its script in testdata says, makes of a line.
func completed(t *testing.T, dir, line string, shell ...string) []string {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("testdata", "completion", shell[0]))
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), shell[0], append(append([]string{}, shell[1:]...), script, line)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C.UTF-8", asProgram + "=1"}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	if len(out) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func installed(t *testing.T, name, file string) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		testservers.Missing(t, name, err)
	}
}

func found(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		testservers.Missing(t, name, err)
	}
}

func TestBashCompletes(t *testing.T) {
	t.Parallel()
	installed(t, "bash-completion", "/usr/share/bash-completion/bash_completion")
	found(t, "bash")
	dir := shellDir(t)
	for line, want := range map[string][]string{
		"tandem re": {
			"rebase  (Give the log a new start after a restore, a copy or a failover)",
			"relay   (Publish the log's events to Kafka)",
			"replay  (Have published events published again, on purpose)",
		},
		"tandem relay --log-format ":         {"text", "json"},
		"tandem relay --kafka-tls=f":         {"false"},
		"tandem parked list --state parked,": {"parked,held", "parked,deferred", "parked,scheduled"},
		"tandem relay --config ":             {"tandem.yaml", "bin"},
		"tandem relay --log-":                {"--log-format  (the form of the log, which goes to stderr)", "--log-level   (the least level that is logged)"},
		"tandem relay ":                      {""},
		"tandem parked redrive --by alice ":  {""},
	} {
		require.Equal(t, want, completed(t, dir, line, "bash", "--norc"), line)
	}
}

func TestFishCompletes(t *testing.T) {
	t.Parallel()
	found(t, "fish")
	dir := shellDir(t)
	for line, want := range map[string][]string{
		"tandem re": {
			"rebase\tGive the log a new start after a restore, a copy or a failover",
			"relay\tPublish the log's events to Kafka",
			"replay\tHave published events published again, on purpose",
		},
		"tandem relay --log-format ":        {"json", "text"},
		"tandem inbox parked list --state ": {"all", "held", "parked", "retrying"},
		"tandem relay --kafka-tls-ca c":     {"ca.pem"},
		"tandem relay ":                     nil,
		"tandem relay --source n":           nil,
	} {
		require.Equal(t, want, completed(t, dir, line, "fish", "--no-config"), line)
	}
}

func TestZshCompletes(t *testing.T) {
	t.Parallel()
	found(t, "zsh")
	dir := shellDir(t)
	for line, want := range map[string]string{
		"tandem rel":                                  "tandem relay ",
		"tandem relay --log-format=j":                 "tandem relay --log-format=json ",
		"tandem parked list --state parked,de":        "tandem parked list --state parked,deferred",
		"tandem relay --kafka-tls-ca c":               "tandem relay --kafka-tls-ca ca.pem ",
		"tandem relay --config t":                     "tandem relay --config tandem.yaml ",
		"tandem relay --source n":                     "tandem relay --source n",
		"tandem relay n":                              "tandem relay n",
		"tandem bench drain --kafka-sasl-mechanism p": "tandem bench drain --kafka-sasl-mechanism plain ",
	} {
		require.Equal(t, []string{want}, completed(t, dir, line, "zsh", "-f"), line)
	}
}

// What no shell here can tell: where files are offered, and where nothing is.
func TestCompletionOffersFilesWhereOneIsMeant(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"relay --kafka-tls-cert":    ":0", // files
		"relay --config":            ":8", // files that end so
		"relay --schema":            ":4", // nothing
		"parked show --id":          ":4",
		"parked list --state":       ":6", // no space: more may follow
		"relay --log-level":         ":4",
		"relay --database-url":      ":4",
		"bench --kafka-tls-key":     ":0",
		"migrate print":             ":4",
		"inbox parked discard --id": ":4",
	} {
		r := tandem(t, nil, append(append([]string{"__complete"}, strings.Fields(line)...), "")...)
		require.Equal(t, exitDone, r.code, r.stderr)
		require.True(t, strings.HasSuffix(strings.TrimSuffix(r.stdout, "\n"), want), "%s: %s", line, r.stdout)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		r := tandem(t, nil, "completion", shell)
		require.Equal(t, exitDone, r.code)
		require.Contains(t, r.stdout, "tandem")
	}
}
