package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tandem-outbox/tandem/internal/bench"
)

// Result is a measurement as "tandem bench --json" tells it, and what is known of
// rivals besides.
type Result struct {
	bench.Result
	// Warm is the rate of a drain from its first record to its last, without the
	// start of the process.
	Warm float64 `json:"warm_per_second,omitempty"`
}

// Report is a run: a bench.Report with such results.
type Report struct {
	Started     time.Time         `json:"started"`
	Environment bench.Environment `json:"environment"`
	Results     []Result          `json:"results"`
}

// Add adds results. One that measures again what is there takes its place.
func (r *Report) Add(results ...Result) {
	for _, added := range results {
		i := slices.IndexFunc(r.Results, func(old Result) bool { return same(old.Result, added.Result) })
		if i < 0 {
			r.Results = append(r.Results, added)
		} else {
			r.Results[i] = added
		}
	}
}

func same(a, b bench.Result) bool {
	return a.Measure == b.Measure && a.System == b.System && a.Case == b.Case && a.Clients == b.Clients && a.Batch == b.Batch && a.Round == b.Round
}

// Read reads a report. A file that is not there is an empty one.
func Read(file string) (Report, error) {
	var r Report
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(content, &r); err != nil {
		return r, fmt.Errorf("%s is no report: %w", file, err)
	}
	return r, nil
}

// Save writes a report so that the file is whole at any time.
func (r Report) Save(file string) error {
	content, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return replace(file, append(content, '\n'))
}

func replace(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	draft := file + ".draft"
	if err := os.WriteFile(draft, content, 0o644); err != nil {
		return err
	}
	return os.Rename(draft, file)
}
