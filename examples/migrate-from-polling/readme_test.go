package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The SQL of the README is the program's, behind a line that says whose it is.
func TestReadmeShowsTheSQL(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	bank, err := os.ReadFile(filepath.Join("sql", "bank.sql"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^( *)```sql\n *-- as owner\n(.*?)^ *```$").FindAllStringSubmatch(string(readme), -1)
	const ids = 1 // the block that the program has no need of
	require.Len(t, blocks, 5)
	for i, source := range []string{string(bank), ids: "", switchSQL, backSQL, dropSQL} {
		if i == ids {
			continue
		}
		lines := strings.TrimPrefix(strings.ReplaceAll("\n"+blocks[i][2], "\n"+blocks[i][1], "\n"), "\n")
		require.Contains(t, source, lines)
	}
}
