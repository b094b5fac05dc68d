// Package testprograms builds this repository's programs for the tests that run them.
package testprograms

import (
	"os/exec"
	"path/filepath"
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
