package report_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/integration/bench/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The figures of testdata/results.json are made up.
func TestThePageComesOutOfItsJSON(t *testing.T) {
	r, err := report.Read(filepath.Join("testdata", "results.json"))
	require.NoError(t, err)
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	template, err := os.ReadFile(filepath.Join("testdata", "template.md"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(page, template, 0o644))
	require.NoError(t, report.Write(r, dir, page))
	require.NoError(t, report.Write(r, dir, page), "what was made is made anew")
	for _, name := range []string{"page.md", "drain.svg", "cpu.svg", "latency.svg"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		golden := filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.WriteFile(golden, got, 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s; go test -run ThePage ./report -update, if that is meant", name)
	}
}

func TestAMarkerThatIsMissingIsNamed(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(page, []byte("nothing"), 0o644))
	require.ErrorContains(t, report.Write(report.Report{}, t.TempDir(), page), "<!--")
}

func TestWhatIsMeasuredAgainTakesItsPlace(t *testing.T) {
	r, err := report.Read(filepath.Join("testdata", "results.json"))
	require.NoError(t, err)
	n := len(r.Results)
	again := r.Results[0]
	again.Rate++
	other := again
	other.Round = 99
	r.Add(again, other)
	require.Len(t, r.Results, n+1)
	require.Equal(t, again, r.Results[0])

	file := filepath.Join(t.TempDir(), "below", "results.json")
	require.NoError(t, r.Save(file))
	read, err := report.Read(file)
	require.NoError(t, err)
	require.Equal(t, r, read)
}

func TestTheProjectsPageHasEveryMarker(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "benchmarks.md"))
	require.NoError(t, err)
	dir := t.TempDir()
	page := filepath.Join(dir, "benchmarks.md")
	require.NoError(t, os.WriteFile(page, content, 0o644))
	require.NoError(t, report.Write(report.Report{}, dir, page))
}
