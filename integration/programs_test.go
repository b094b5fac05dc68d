package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
)

// program builds one of cmd's programs and returns the path of the binary.
func program(t testing.TB, name string) string {
	t.Helper()
	source := filepath.Join("..", "cmd", name)
	files, err := filepath.Glob(filepath.Join(source, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	dir := t.TempDir()
	testprograms.Build(t, dir, "-ldflags", "-X main.version=stamped", "./"+source)
	return filepath.Join(dir, name)
}

// help is what the program says about a command; it must know the command.
func help(t *testing.T, binary string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append(command, "--help")...)
	cmd.Env = withoutTandem(os.Environ())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	if len(command) > 0 {
		// Cobra answers for an unknown subcommand with the help of its parent.
		usage := strings.Join(append([]string{filepath.Base(binary)}, command...), " ")
		require.Regexp(t, `(?m)^\s*`+regexp.QuoteMeta(usage)+`\b`, string(out), "there is no such command")
	}
	return string(out)
}

var flagPattern = regexp.MustCompile(`(?m)^\s*(?:-\w, )?--([a-z][a-z0-9-]*)`)

// flags are the names of the flags in a help text, without the dashes.
func flags(help string) []string {
	var names []string
	for _, match := range flagPattern.FindAllStringSubmatch(help, -1) {
		names = append(names, match[1])
	}
	return names
}

// variables are the environment's names of flags: --http-addr is TANDEM_HTTP_ADDR.
func variables(flags []string) []string {
	var names []string
	for _, flag := range flags {
		names = append(names, "TANDEM_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_")))
	}
	return names
}

func withoutTandem(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "TANDEM_") {
			kept = append(kept, variable)
		}
	}
	return kept
}
