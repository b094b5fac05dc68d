package testmetrics_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testmetrics"
)

// The checks themselves find what is not there.
func TestAQueryOfNothingIsFound(t *testing.T) {
	t.Parallel()
	series := map[string][]string{"tandem_relay_leads": {"job"}}
	checked := func(query string) bool {
		return passes(func(t testing.TB) { testmetrics.CheckQuery(t, series, query) })
	}
	require.True(t, checked(`sum by (job) (tandem_relay_leads)`))
	for _, query := range []string{`sum(tandem_relay_lead)`, `tandem_relay_leads{topic="x"}`, `sum by (topic) (tandem_relay_leads)`, `sum(`, `1`} {
		require.Falsef(t, checked(query), "%s passes", query)
	}
}

func TestADocumentThatLacksSomethingIsFound(t *testing.T) {
	t.Parallel()
	const scrape = `# TYPE tandem_a_total counter
tandem_a_total{topic="x"} 1
# TYPE tandem_a_seconds histogram
tandem_a_seconds_bucket{consumer="b",topic="x",le="1"} 1
tandem_a_seconds_count{consumer="b",topic="x"} 1
`
	checked := func(document string) bool {
		path := filepath.Join(t.TempDir(), "metrics.md")
		require.NoError(t, os.WriteFile(path, []byte(document), 0o600))
		return passes(func(t testing.TB) { testmetrics.CheckDocument(t, path, "tandem_a_", scrape) })
	}
	const counter, histogram = "| `tandem_a_total` | counter | `topic` | It. |\n", "| `tandem_a_seconds` | histogram | `topic`, `consumer` | It. |\n"
	require.True(t, checked(counter+histogram+"| `tandem_b` | gauge | | Of somebody else. |\n"))
	for _, document := range []string{
		counter, histogram,
		counter + histogram + "| `tandem_a_more` | gauge | | Not there. |\n",
		histogram + "| `tandem_a_total` | gauge | `topic` | It. |\n",
		histogram + "| `tandem_a_total` | counter | | It. |\n",
	} {
		require.Falsef(t, checked(document), "%s passes", document)
	}
}

// passes runs a check on a test of its own.
func passes(check func(testing.TB)) bool {
	ok := make(chan bool)
	go func() {
		probe := &testing.T{}
		defer func() { ok <- !probe.Failed() }()
		check(probe)
	}()
	return <-ok
}
