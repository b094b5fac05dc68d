package faults_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

type programs struct{ tandem, consumer string }

type mutant struct{}

func build(t testing.TB, m *mutant) programs {
	t.Helper()
	dir := t.TempDir()
	p := programs{filepath.Join(dir, "tandem"), filepath.Join(dir, "consumer")}
	for path, source := range map[string]string{p.tandem: "../../cmd/tandem", p.consumer: "./consumer"} {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, source).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	return p
}
