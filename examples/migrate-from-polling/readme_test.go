package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the README shows is what the program runs: lines of its files.
func TestReadmeShowsTheFiles(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^( *)```(sql|go)\n(.*?)^ *```$").FindAllStringSubmatch(string(readme), -1)
	require.Len(t, blocks, 5)
	for _, block := range blocks {
		pattern := map[string]string{"sql": "sql/*.sql", "go": "*.go"}[block[2]]
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		var source strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			source.Write(text)
		}
		lines := strings.TrimPrefix(strings.ReplaceAll("\n"+block[3], "\n"+block[1], "\n"), "\n")
		require.Contains(t, source.String(), lines)
	}
}
