// Package testmetrics holds documents, alerts and dashboards against the metrics
// that a program really has: what it shows Prometheus at a scrape.
package testmetrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var (
	types   = regexp.MustCompile(`(?m)^# TYPE (tandem_\w+) (\w+)$`)
	samples = regexp.MustCompile(`(?m)^(tandem_\w+)(?:\{(.*)\})? \S+$`)
	names   = regexp.MustCompile(`(\w+)="`)
	rows    = regexp.MustCompile("(?m)^\\| `(tandem_\\w+)` \\| (\\w+) \\| ([^|]*) ?\\| .+ \\|$")
	quoted  = regexp.MustCompile("`(\\w+)`")
)

// Series are the labels of each series of a scrape, Prometheus's own included.
func Series(t testing.TB, scrape string) map[string][]string {
	t.Helper()
	series := map[string][]string{}
	for _, match := range samples.FindAllStringSubmatch(scrape, -1) {
		series[match[1]] = []string{"job", "instance"}
		for _, label := range names.FindAllStringSubmatch(match[2], -1) {
			series[match[1]] = append(series[match[1]], label[1])
		}
	}
	require.NotEmpty(t, series)
	return series
}

// CheckDocument finds the metrics of a scrape whose names begin with prefix, with
// their kinds and labels, in the tables of a document, and nothing else there.
func CheckDocument(t testing.TB, path, prefix, scrape string) {
	t.Helper()
	series := Series(t, scrape)
	var exported, listed []string
	for _, match := range types.FindAllStringSubmatch(scrape, -1) {
		sample := match[1]
		if match[2] == "histogram" {
			sample += "_count"
		}
		require.Contains(t, series, sample)
		exported = append(exported, metric(match[1], match[2], series[sample][2:]))
	}
	document, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, match := range rows.FindAllStringSubmatch(string(document), -1) {
		if !strings.HasPrefix(match[1], prefix) {
			continue
		}
		var labels []string
		for _, label := range quoted.FindAllStringSubmatch(match[3], -1) {
			labels = append(labels, label[1])
		}
		listed = append(listed, metric(match[1], match[2], labels))
	}
	require.ElementsMatch(t, exported, listed)
}

func metric(name, kind string, labels []string) string {
	return strings.Join(append([]string{name, kind}, slices.Sorted(slices.Values(labels))...), " ")
}

// CheckRules parses a file of alerts, and finds the series and labels of their
// queries among the exported.
func CheckRules(t testing.TB, path string, series map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.Len(t, file.Groups, 1)
	require.NotEmpty(t, file.Groups[0].Rules)
	seen := map[string]bool{}
	for _, rule := range file.Groups[0].Rules {
		require.Falsef(t, seen[rule.Alert], "%s is there twice", rule.Alert)
		seen[rule.Alert] = true
		CheckQuery(t, series, rule.Expr)
		require.Contains(t, []string{"info", "warning", "critical"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["action"], rule.Alert)
		// A label that the query takes away would be empty in the text.
		for _, match := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(rule.Annotations["summary"], -1) {
			require.Regexp(t, `by \([^)]*\b`+match[1]+`\b`, rule.Expr, rule.Alert)
		}
	}
}

// CheckDashboard does the same with a dashboard of Grafana.
func CheckDashboard(t testing.TB, path string, series map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &board))
	require.NotEmpty(t, board.Panels)
	for _, panel := range board.Panels {
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			CheckQuery(t, series, target.Expr)
		}
	}
	for _, variable := range board.Templating.List {
		if match := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(variable.Definition); match != nil {
			require.Contains(t, series[match[1]], match[2])
		} else {
			require.Equal(t, "datasource", variable.Name)
		}
	}
}

// CheckQuery parses a query, and finds its series and labels among the exported.
func CheckQuery(t testing.TB, series map[string][]string, query string) {
	t.Helper()
	query = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$consumer", ".*").Replace(query)
	parsed, err := parser.ParseExpr(query)
	require.NoError(t, err, query)
	var labels []string
	selectors := 0
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			selectors++
			require.Contains(t, series, selector.Name, query)
			for _, matcher := range selector.LabelMatchers {
				if matcher.Name != "__name__" {
					require.Contains(t, series[selector.Name], matcher.Name, query)
				}
			}
			labels = append(labels, series[selector.Name]...)
		}
		return nil
	})
	require.Positive(t, selectors, query)
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if aggregate, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range aggregate.Grouping {
				require.Contains(t, labels, label, query)
			}
		}
		return nil
	})
}
