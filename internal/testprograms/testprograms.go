// Package testprograms builds and asks this repository's programs for the tests
// that run them.
package testprograms

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Build is "go build" with flags and packages, whose directories are given as go
// takes them. Each program is put into the directory into, under the name of its own.
func Build(t testing.TB, into string, arguments ...string) {
	t.Helper()
	arguments = append([]string{"build", "-o", into + string(filepath.Separator)}, arguments...)
	out, err := exec.CommandContext(t.Context(), "go", arguments...).CombinedOutput()
	require.NoError(t, err, "go %q: %s", arguments, out)
}

// Environ is this process's environment without settings of tandem's, which the
// test run has for servers of its own.
func Environ() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "TANDEM_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

var (
	flagPattern    = regexp.MustCompile(`(?m)^\s*(?:-\w, )?--([a-z][a-z0-9-]*)`)
	commandPattern = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) `)
)

// Flags are the names of the flags that a program's command has, without the
// dashes. The program must know the command.
func Flags(t testing.TB, binary string, command ...string) []string {
	t.Helper()
	var names []string
	for _, match := range flagPattern.FindAllStringSubmatch(help(t, binary, command...), -1) {
		names = append(names, match[1])
	}
	return names
}

// AllFlags are those of a program and of all of its commands.
func AllFlags(t testing.TB, binary string, command ...string) []string {
	t.Helper()
	names := Flags(t, binary, command...)
	_, below, _ := strings.Cut(help(t, binary, command...), "\nAvailable Commands:\n")
	below, _, _ = strings.Cut(below, "\n\n")
	for _, match := range commandPattern.FindAllStringSubmatch(below+"\n", -1) {
		names = append(names, AllFlags(t, binary, append(command, match[1])...)...)
	}
	return names
}

// help is what the program says about a command.
func help(t testing.TB, binary string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append(command, "--help")...)
	cmd.Env = Environ()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	if len(command) > 0 {
		// Cobra answers for an unknown subcommand with the help of its parent.
		usage := strings.Join(append([]string{filepath.Base(binary)}, command...), " ")
		require.Regexp(t, `(?m)^\s*`+regexp.QuoteMeta(usage)+`\b`, string(out), "there is no such command")
	}
	return string(out)
}
