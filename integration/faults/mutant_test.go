package faults_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mutant is a system that is wrong on purpose, and which the oracle has to find
// out. The product knows nothing of mutants: they are made as its programs are
// built (go build -overlay, which also reaches the migrations).
type mutant struct {
	name   string
	breaks string   // what it breaks, in a sentence
	edits  []edit   // at least one
	shows  []string // what the oracle is to report: one of these
	needs  string   // what must happen in a run for it to show
	seeds  int      // within how many it must have shown: far more than it takes
}

// edit replaces text that occurs exactly once in a file.
type edit struct {
	file     string // from the root of the repository
	old, new string
}

// root is that of the repository, from here.
const root = "../.."

// apply returns the contents of the files that the mutant changes, by name.
func (m *mutant) apply() (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, again := changed[e.file]
		if !again {
			content, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, fmt.Errorf("mutant %q: %w", m.name, err)
			}
			text = string(content)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("mutant %q has to follow the code: %s has this %d times, not once:\n%s", m.name, e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}

// overlay writes the changed files, and returns the file that go build takes.
func (m *mutant) overlay(t testing.TB) string {
	t.Helper()
	changed, err := m.apply()
	require.NoError(t, err)
	dir := t.TempDir()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for file, text := range changed {
		original, err := filepath.Abs(filepath.Join(root, file))
		require.NoError(t, err)
		replacement := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		require.NoError(t, os.WriteFile(replacement, []byte(text), 0o600))
		overlay.Replace[original] = replacement
	}
	text, err := json.Marshal(overlay)
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// A mutation reaches the programs, in Go and in the migrations that are embedded.
func TestMutantIsBuilt(t *testing.T) {
	t.Parallel()
	m := &mutant{
		name: "another word", breaks: "Nothing.", shows: []string{"nothing"}, needs: "nothing", seeds: 1,
		edits: []edit{
			{"migrations/sql/00002_log.sql", "AS bigint CACHE 1;", "AS bigint CACHE 2;"},
			{"migrations/sql/00002_log.sql", "AS bigint CACHE 2;", "AS bigint CACHE 3;"},
			{"cmd/tandem/relay.go", `Short: "Publish the log's events to Kafka"`, `Short: "Publish something"`},
		},
	}
	p := build(t, m)
	require.FileExists(t, p.consumer)
	script, err := exec.CommandContext(t.Context(), p.tandem, "migrate", "print").Output()
	require.NoError(t, err)
	require.Contains(t, string(script), "log_position AS bigint CACHE 3;")
	help, err := exec.CommandContext(t.Context(), p.tandem, "--help").Output()
	require.NoError(t, err)
	require.Contains(t, string(help), "Publish something")
}

// A mutant that no longer fits the code is an error and not the system as it is.
func TestMutantFollowsTheCode(t *testing.T) {
	t.Parallel()
	for _, old := range []string{"there is no such text", "tandem.log"} { // not there, and there more than once
		m := &mutant{name: "stray", edits: []edit{{"migrations/sql/00002_log.sql", old, "x"}}}
		_, err := m.apply()
		require.ErrorContains(t, err, "has to follow the code")
	}
}
