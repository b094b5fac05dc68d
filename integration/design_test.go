package integration_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every source file has its line in DESIGN.md, and every line its file.
func TestDesignMapsEveryFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "DESIGN.md"))
	require.NoError(t, err)
	_, files, _ := strings.Cut(string(text), "\n## Files\n")
	var mapped []string
	dir := ""
	for line := range strings.Lines(files) {
		if match := regexp.MustCompile("^### `(.+)`").FindStringSubmatch(line); match != nil {
			dir = match[1]
		}
		if match := regexp.MustCompile("^- `(.+?)`: .").FindStringSubmatch(line); match != nil {
			mapped = append(mapped, dir+"/"+match[1])
		}
	}
	var found []string
	err = fs.WalkDir(os.DirFS(".."), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(path, ".git"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".sql"), strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			found = append(found, path)
		}
		return nil
	})
	require.NoError(t, err)
	require.ElementsMatch(t, found, mapped)
}
