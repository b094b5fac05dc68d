package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// pages are the documents that a user reads, by their paths from the root.
func pages(t testing.TB) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"README.md", "SECURITY.md", "docs/*.md", "examples/*.md", "examples/*/*.md", "examples/*/*/*.md", "deploy/*.md"} {
		paths, err := fs.Glob(os.DirFS(root), pattern)
		require.NoError(t, err)
		found = append(found, paths...)
	}
	return found
}

// block is a fenced block of a page.
type block struct {
	page     string
	line     int // of its fence, from 1
	language string
	text     string
}

var fence = regexp.MustCompile("^( *)```(.*)$")

// blocksOf are a page's fenced blocks.
func blocksOf(t testing.TB, path string) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	var blocks []block
	var lines []string
	var open *block
	for i, line := range strings.Split(string(text), "\n") {
		switch match := fence.FindStringSubmatch(line); {
		case match == nil:
			lines = append(lines, line)
		case open == nil:
			open, lines = &block{page: path, line: i + 1, language: match[2]}, nil
		default:
			require.Emptyf(t, match[2], "%s:%d: a fence begins within another", path, i+1)
			open.text = outdented(lines)
			blocks, open = append(blocks, *open), nil
		}
	}
	require.Nilf(t, open, "%s: a fence does not end", path)
	return blocks
}

// outdented is lines without the indentation that all of them have.
func outdented(lines []string) string {
	lines = slices.Clone(lines)
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
	}
	for {
		var first byte
		for _, line := range lines {
			if line != "" {
				first = line[0]
				break
			}
		}
		if first != ' ' && first != '\t' {
			break
		}
		if slices.ContainsFunc(lines, func(line string) bool { return line != "" && line[0] != first }) {
			break
		}
		for i, line := range lines {
			if line != "" {
				lines[i] = line[1:]
			}
		}
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// verbatim are the languages whose blocks are parts of files, and the files' endings.
var verbatim = map[string][]string{
	"go":         {".go"},
	"python":     {".py"},
	"ini":        {".service", ".ini"},
	"dockerfile": {"Dockerfile"},
	"yaml":       {".yml", ".yaml"},
	"toml":       {".toml"},
}

// sources are the files that blocks may be parts of. Those of Go are compiled and
// run by tests: the examples', this package's, and the packages' own Examples.
var sources = sync.OnceValues(func() (map[string][]string, error) {
	found := map[string][]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name := entry.Name(); name == ".git" || name == "bin" || name == "node_modules" {
				return fs.SkipDir
			}
			return nil
		case strings.HasSuffix(path, ".go") && !strings.HasPrefix(path, "examples/") && !strings.HasPrefix(path, "integration/docs/") &&
			!strings.HasPrefix(path, "cmd/tandem/init") && !strings.HasSuffix(path, "example_test.go"):
			return nil
		}
		for language, endings := range verbatim {
			if slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(path, ending) }) {
				text, err := os.ReadFile(filepath.Join(root, path))
				if err != nil {
					return err
				}
				found[language] = append(found[language], string(text))
			}
		}
		return nil
	})
	return found, err
})

// inARepositoryFile tells whether a block is a part of a file: lines that follow
// each other, less the indentation that all of them have.
func inARepositoryFile(t testing.TB, b block) bool {
	t.Helper()
	all, err := sources()
	require.NoError(t, err)
	want := strings.Split(b.text, "\n")
	for _, text := range all[b.language] {
		lines := strings.Split(text, "\n")
		for i := range lines {
			if strings.TrimSpace(lines[i]) != strings.TrimSpace(want[0]) || i+len(want) > len(lines) {
				continue
			}
			if outdented(lines[i:i+len(want)]) == b.text {
				return true
			}
		}
	}
	return false
}

// free are the languages of blocks that nothing is to be done with: output, diagrams.
var free = []string{"text", "json"}

// Every block says what it is, and code is that of a file which tests compile and run.
func TestBlocksAreParts(t *testing.T) {
	t.Parallel()
	for _, path := range pages(t) {
		for _, b := range blocksOf(t, path) {
			switch {
			case slices.Contains(free, b.language), slices.Contains([]string{"sh", "sql", "yaml", "console"}, b.language): // others look at them
			case verbatim[b.language] == nil:
				t.Errorf("%s:%d: %q is none of the languages that integration/docs/doc.go tells of", path, b.line, b.language)
			case !inARepositoryFile(t, b):
				t.Errorf("%s:%d: these lines of %s stand in no file that tests compile and run:\n%s", path, b.line, b.language, b.text)
			}
		}
	}
}

// A line that is indented by four would be shown as code, and looked at by nobody.
func TestCodeIsFenced(t *testing.T) {
	t.Parallel()
	for _, path := range pages(t) {
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		within, before := false, ""
		for i, line := range strings.Split(string(text), "\n") {
			if fence.MatchString(line) {
				within = !within
			}
			if !within && before == "" && strings.HasPrefix(line, "    ") {
				t.Errorf("%s:%d: code without a fence: %s", path, i+1, line)
			}
			before = strings.TrimSpace(line)
		}
	}
}
