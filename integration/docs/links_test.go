package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.+?) *$`)
	anchor  = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
)

// Every link of every document leads to a file, and to a heading in it.
func TestLinks(t *testing.T) {
	t.Parallel()
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			checkLinks(t, path)
		}
		return nil
	})
	require.NoError(t, err)
}

func checkLinks(t *testing.T, path string) {
	t.Helper()
	for i, line := range prose(t, path) {
		for _, match := range link.FindAllStringSubmatch(line, -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			switch {
			case strings.HasPrefix(target, "https://"):
				continue // theirs to keep
			case strings.Contains(target, "://"):
				t.Errorf("%s:%d: %s is not https", path, i+1, match[1])
				continue
			case target == "":
				target = path
			default:
				target = filepath.Join(filepath.Dir(path), target)
			}
			_, err := os.Stat(filepath.Join(root, target))
			if err != nil {
				t.Errorf("%s:%d: %s leads nowhere", path, i+1, match[1])
				continue
			}
			if fragment != "" && !anchors(t, target)[fragment] {
				t.Errorf("%s:%d: %s has no heading #%s", path, i+1, target, fragment)
			}
		}
	}
}

// prose are a document's lines, those of fenced blocks empty.
func prose(t testing.TB, path string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	within := false
	for i, line := range lines {
		if fence.MatchString(line) {
			within = !within
			lines[i] = ""
		}
		if within {
			lines[i] = ""
		}
	}
	return lines
}

// anchors are what a link into a document may name: its headings as they are called
// where Markdown is shown, the second of a name with -1, and what is marked.
func anchors(t testing.TB, path string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, line := range prose(t, path) {
		if match := heading.FindStringSubmatch(line); match != nil {
			name := slug(match[1])
			for n := 1; found[name]; n++ {
				name = slug(match[1]) + "-" + string(rune('0'+n))
			}
			found[name] = true
		}
		for _, match := range anchor.FindAllStringSubmatch(line, -1) {
			found[match[1]] = true
		}
	}
	return found
}

// slug is the anchor of a heading.
func slug(text string) string {
	text = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`).ReplaceAllString(text, "$1")
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}
