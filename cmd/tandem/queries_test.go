package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// exported are the labels of each series that the relay really exports.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	series := map[string][]string{}
	for _, match := range regexp.MustCompile(`(?m)^(tandem_\w+)(?:\{(.*)\})? \S+$`).FindAllStringSubmatch(scrape(t, everything()), -1) {
		series[match[1]] = []string{"job", "instance"} // Prometheus's own
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(match[2], -1) {
			series[match[1]] = append(series[match[1]], label[1])
		}
	}
	require.NotEmpty(t, series)
	return series
}

// checkQuery parses a query, and finds its series and labels among the exported.
func checkQuery(t *testing.T, series map[string][]string, query string) {
	t.Helper()
	query = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*").Replace(query)
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

func TestTheAlertsQueryWhatThereIs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "tandem.rules.yml"))
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
	series := exported(t)
	require.Len(t, file.Groups, 1)
	require.NotEmpty(t, file.Groups[0].Rules)
	names := map[string]bool{}
	for _, rule := range file.Groups[0].Rules {
		require.Falsef(t, names[rule.Alert], "%s is there twice", rule.Alert)
		names[rule.Alert] = true
		checkQuery(t, series, rule.Expr)
		require.Contains(t, []string{"info", "warning", "critical"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["action"], rule.Alert)
		// A label that the query takes away would be empty in the text.
		for _, match := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(rule.Annotations["summary"], -1) {
			require.Regexp(t, `by \([^)]*\b`+match[1]+`\b`, rule.Expr, rule.Alert)
		}
	}
}

func TestTheDashboardQueriesWhatThereIs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "tandem.json"))
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct{ List []struct{ Name, Definition string } }
	}
	require.NoError(t, json.Unmarshal(text, &board))
	series := exported(t)
	require.NotEmpty(t, board.Panels)
	for _, panel := range board.Panels {
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			checkQuery(t, series, target.Expr)
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

// The check itself finds what is not there.
func TestAQueryOfNothingIsFound(t *testing.T) {
	t.Parallel()
	series := map[string][]string{"tandem_relay_leads": {"job"}}
	require.True(t, passes(series, `sum by (job) (tandem_relay_leads)`))
	for _, query := range []string{`sum(tandem_relay_lead)`, `tandem_relay_leads{topic="x"}`, `sum by (topic) (tandem_relay_leads)`, `sum(`, `1`} {
		require.Falsef(t, passes(series, query), "%s passes", query)
	}
}

// passes runs the check on a test of its own.
func passes(series map[string][]string, query string) bool {
	ok := make(chan bool)
	go func() {
		probe := &testing.T{}
		defer func() { ok <- !probe.Failed() }()
		checkQuery(probe, series, query)
	}()
	return <-ok
}
