package integration_test

import (
	"path/filepath"
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

// variables are the environment's names of flags: --http-addr is TANDEM_HTTP_ADDR.
func variables(flags []string) []string {
	var names []string
	for _, flag := range flags {
		names = append(names, "TANDEM_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_")))
	}
	return names
}
