package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/tandem-outbox/tandem/integration/bench/report"
	"github.com/tandem-outbox/tandem/internal/localproc"
)

// ownMeasures are what "tandem bench" measures of Tandem alone. Drains are measured
// here, with a relay that is a process of its own.
var ownMeasures = [][]string{
	{"write", "--rounds", "12"},
	{"steady", "--rate", "1000,10000"},
	{"steady", "--rate", "10000", "--each", "10"},
	{"consume", "--batch", "100"},
	{"idle"},
}

// own takes over what "tandem bench" measures.
func (r *run) own(ctx context.Context) error {
	var failed []error
	for _, arguments := range ownMeasures {
		fmt.Fprintf(r.progress, "%s  tandem bench %s\n", time.Now().Format(time.TimeOnly), strings.Join(arguments, " "))
		results, err := r.tandemBench(ctx, arguments)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			failed = append(failed, err)
		}
		if err := r.keep(results...); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// tandemBench runs it once. It fails, with its results, where an audit is not clean.
func (r *run) tandemBench(ctx context.Context, arguments []string) ([]report.Result, error) {
	var out bytes.Buffer
	arguments = append([]string{"bench"}, arguments...)
	cmd := exec.CommandContext(ctx, r.servers.tandem, append(arguments,
		"--json", "--database-url", r.servers.database, "--kafka-brokers", strings.Join(r.servers.brokers, ","))...)
	cmd.Stdout, cmd.Stderr = &out, r.progress
	localproc.Prepare(cmd, nil)
	failed := cmd.Run()
	if failed != nil {
		failed = fmt.Errorf("tandem %s: %w", strings.Join(arguments, " "), failed)
	}
	var told report.Report
	if err := json.Unmarshal(out.Bytes(), &told); err != nil && failed == nil {
		failed = fmt.Errorf("tandem %s printed no report: %w", strings.Join(arguments, " "), err)
	}
	return told.Results, failed
}
