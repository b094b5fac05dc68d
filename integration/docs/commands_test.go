package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
)

// theirs are the programs that a block of console may call and nothing here checks
// the arguments of, but for files of this repository.
var theirs = []string{
	"cd", "cp", "curl", "docker", "export", "git", "install", "journalctl", "kubectl", "kafka-configs.sh", "kafka-topics.sh", "kcat",
	"mkdir", "pip", "psql", "python3", "sudo", "systemctl", "systemd-creds", "useradd", ".venv/bin/pip", ".venv/bin/python",
}

// Commands that nothing runs here name what is there: targets, packages, files.
func TestConsole(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	for _, path := range pages(t) {
		for _, b := range blocksOf(t, path) {
			if b.language != "console" {
				continue
			}
			for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", " ")) {
				line, _, _ = strings.Cut(line, " #")
				words := strings.Fields(line)
				for len(words) > 0 && (regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) || words[0] == "sudo") {
					words = words[1:]
				}
				if len(words) == 0 || strings.HasPrefix(words[0], "#") {
					continue
				}
				checkCommand(t, b, words, string(makefile))
			}
		}
	}
}

// ours are paths of this repository, as commands name them.
var ours = regexp.MustCompile(`^(?:\./)?(?:deploy|examples|docs|cmd|integration)/[\w./-]+$`)

func checkCommand(t *testing.T, b block, words []string, makefile string) {
	t.Helper()
	switch {
	case words[0] == "make":
		for _, word := range words[1:] {
			if !strings.Contains(word, "=") {
				require.Containsf(t, makefile, "\n"+word+":", "%s:%d: %q", b.page, b.line, words)
			}
		}
	case slices.Contains([]string{"tandem", "bin/tandem", "bin/tandem-demo", "go"}, words[0]), slices.Contains(theirs, words[0]):
	default:
		t.Errorf("%s:%d: %s is a program that integration/docs/commands_test.go does not know", b.page, b.line, words[0])
	}
	for _, word := range words[1:] {
		if ours.MatchString(word) {
			_, err := os.Stat(filepath.Join(root, word))
			require.NoErrorf(t, err, "%s:%d: %q", b.page, b.line, words)
		}
	}
}

// The make targets that the documents name in passing are there.
func TestTargets(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	for _, path := range append(pages(t), "CONTRIBUTING.md", "DESIGN.md") {
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		for _, match := range regexp.MustCompile("(?m)(?:^ *|`)make ([a-z/-]+)").FindAllStringSubmatch(string(text), -1) {
			require.Containsf(t, string(makefile), "\n"+match[1]+":", "%s names make %s", path, match[1])
		}
	}
}

// foreign are flags of others' programs.
var foreign = []string{
	"bootstrap-server", "create", "topic", "partitions", "profile", "rm", "volumes", "detach", "alter", "describe", "entity-type", "entity-name",
	"add-config", "delete-config", "now", "from-literal", "from-file", "stack", "oneshot",
	"for", "build-arg", "env-file", "enable",
}

// The flags that the documents name are there, in one of the two programs.
func TestFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	testprograms.Build(t, dir, "../../cmd/tandem", "../../cmd/tandem-demo")
	known := append(testprograms.AllFlags(t, filepath.Join(dir, "tandem")), testprograms.Flags(t, filepath.Join(dir, "tandem-demo"))...)
	known = append(known, foreign...)
	for _, path := range pages(t) {
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		for _, match := range regexp.MustCompile("[ `]--([a-z][a-z-]*)").FindAllStringSubmatch(string(text), -1) {
			require.Containsf(t, known, match[1], "%s names --%s", path, match[1])
		}
	}
}
