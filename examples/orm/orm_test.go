// Package orm_test runs the examples as their readers do.
//
// They are a module of their own, so that nobody who uses Tandem links an ORM.
package orm_test

import (
	"bytes"
	"context"
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

func TestMain(m *testing.M) { testservers.Main(m) }

func TestExamplesDoWhatTheySay(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	promised := regexp.MustCompile("(?s)prints:\n\n```text\n(.*?)```\n").FindSubmatch(readme)
	require.NotNil(t, promised)
	brokers := strings.Join(testservers.Kafka(t), ",")
	programs := t.TempDir()
	testprograms.Build(t, programs, "./gorm", "./bun")
	for _, name := range []string{"gorm", "bun"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			program := exec.CommandContext(ctx, filepath.Join(programs, name))
			program.Env = append(os.Environ(), "DATABASE_URL="+testservers.Postgres(t), "KAFKA_BROKERS="+brokers, "EXAMPLE_LOG=info")
			var out, log bytes.Buffer
			program.Stdout, program.Stderr = &out, &log
			require.NoErrorf(t, program.Run(), "it printed\n%s\nand logged\n%s", &out, &log)
			require.Equalf(t, string(promised[1]), out.String(), "it logged\n%s", &log)
		})
	}
}
