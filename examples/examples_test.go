// Package examples_test runs the examples as their readers do.
package examples_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// limit is how long an example may take on a machine that has much to do.
const limit = 2 * time.Minute

var examples = []string{"metrics", "migrate-from-polling", "notifications", "orders", "passwordreset", "payments", "webhook"}

// elsewhere are run by other tests: quickstart by those of docs/getting-started.md.
var elsewhere = []string{"quickstart"}

// promised is the block of a README that says what the program prints.
var promised = regexp.MustCompile("(?s)prints.*?\n```text\n(.*?)```\n")

func TestMain(m *testing.M) { testservers.Main(m) }

// Each example prints what its README says, also when it is run again.
func TestExamplesDoWhatTheySay(t *testing.T) {
	t.Parallel()
	brokers := strings.Join(testservers.Kafka(t), ",")
	programs := t.TempDir()
	packages := make([]string, len(examples))
	for i, name := range examples {
		packages[i] = "./" + name
	}
	testprograms.Build(t, programs, packages...)
	for _, name := range examples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(name, "README.md"))
			require.NoError(t, err)
			match := promised.FindSubmatch(text)
			require.NotNil(t, match, "the README has no block of text after the word prints")
			database := testservers.Postgres(t)
			for _, run := range []string{"the first time", "again"} {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				program := exec.CommandContext(ctx, filepath.Join(programs, name))
				program.Env = append(os.Environ(), "DATABASE_URL="+database, "KAFKA_BROKERS="+brokers, "EXAMPLE_LOG=info")
				var out, log bytes.Buffer
				program.Stdout, program.Stderr = &out, &log
				err := program.Run()
				require.NoErrorf(t, err, "%s: it printed\n%s\nand logged\n%s", run, &out, &log)
				require.Equalf(t, string(match[1]), out.String(), "%s: what %s printed is not what its README says; it logged\n%s", run, name, &log)
			}
		})
	}
}

// Every example is in the index, and run by a test.
func TestExamplesAreListed(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("README.md")
	require.NoError(t, err)
	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	var found []string
	for _, path := range mains {
		name := filepath.Dir(path)
		found = append(found, name)
		require.Containsf(t, string(index), "]("+name+"/)", "the index has a link to %s", name)
	}
	require.ElementsMatch(t, slices.Concat(examples, elsewhere), found)
}
