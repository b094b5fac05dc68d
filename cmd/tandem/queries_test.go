package main

import (
	"path/filepath"
	"testing"

	"github.com/tandem-outbox/tandem/internal/testmetrics"
)

func TestTheAlertsQueryWhatThereIs(t *testing.T) {
	t.Parallel()
	testmetrics.CheckRules(t, filepath.Join("..", "..", "deploy", "prometheus", "tandem.rules.yml"), testmetrics.Series(t, scrape(t, everything())))
}

func TestTheDashboardQueriesWhatThereIs(t *testing.T) {
	t.Parallel()
	testmetrics.CheckDashboard(t, filepath.Join("..", "..", "deploy", "grafana", "tandem.json"), testmetrics.Series(t, scrape(t, everything())))
}
