package integration_test

import (
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever builds a release gets the same bytes, wherever he has put the source; and
// the program says which release it is.
func TestABuildIsReproducible(t *testing.T) {
	t.Parallel()
	goreleaser, err := os.ReadFile("../.goreleaser.yaml")
	require.NoError(t, err)
	const flags, ldflags = "-trimpath", "-s -w -X main.version="
	require.Contains(t, string(goreleaser), "flags: ["+flags+"]")
	require.Contains(t, string(goreleaser), `ldflags: ["`+ldflags+`{{ .Tag }}"]`)

	dirs := []string{t.TempDir(), filepath.Join(t.TempDir(), "a", "longer", "path")}
	for _, dir := range dirs {
		copySource(t, dir)
	}
	var sums [][sha256.Size]byte
	for _, dir := range dirs {
		binary := filepath.Join(t.TempDir(), "tandem")
		build := exec.CommandContext(t.Context(), "go", "build", flags, "-ldflags", ldflags+"v1.2.3", "-o", binary, "./cmd/tandem")
		build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s", out)
		content, err := os.ReadFile(binary)
		require.NoError(t, err)
		sums = append(sums, sha256.Sum256(content))
		require.NotContains(t, string(content), dir, "the program has the path of its source in it")

		said, err := exec.CommandContext(t.Context(), binary, "version").Output()
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(said), "tandem v1.2.3 ("), string(said))
	}
	require.Equal(t, sums[0], sums[1])
}

// copySource copies what the program is built from.
func copySource(t *testing.T, to string) {
	t.Helper()
	for _, part := range []string{"cmd", "inbox", "internal", "migrations", "outbox", "relay"} {
		require.NoError(t, os.CopyFS(filepath.Join(to, part), os.DirFS(filepath.Join("..", part))))
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(to, file), text, 0o600))
	}
}
