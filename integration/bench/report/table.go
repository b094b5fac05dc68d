package report

import (
	"fmt"
	"strings"

	"github.com/tandem-outbox/tandem/internal/bench"
)

// table is one in Markdown; the first column is of names, the others of figures.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "--:"
	}
	rule[0] = "---"
	line(rule)
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// thousands is a number of events with its commas.
func thousands(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// rounded is a rate to three digits or so: more of them say nothing.
func rounded(n float64) string {
	for unit := 1e4; unit >= 10; unit /= 10 {
		if n >= unit*100 {
			return thousands(float64(int(n/unit+0.5)) * unit)
		}
	}
	return thousands(n)
}

func seconds(n float64) string {
	switch {
	case n == 0:
		return "–"
	case n < 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

func millis(n float64) string {
	if n >= 100 {
		return thousands(n)
	}
	return fmt.Sprintf("%.1f", n)
}

func megabytes(n float64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f", n/1e6)
}

func times(n float64) string {
	switch {
	case n == 0:
		return "–"
	case n < 10:
		return fmt.Sprintf("%.2f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

// audits sums up what arrived over all rounds.
func (s series) audits() string {
	var sum bench.Audit
	for _, r := range s.results {
		if r.Audit == nil {
			return "none"
		}
		sum.Lost += r.Audit.Lost
		sum.Duplicated += r.Audit.Duplicated
		sum.OutOfOrder += r.Audit.OutOfOrder
		sum.Strange += r.Audit.Strange
	}
	if sum == (bench.Audit{}) {
		return "clean"
	}
	return sum.String()
}
