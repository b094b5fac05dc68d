package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Write makes the plots in a directory, and the tables of a page between their
// markers, <!-- NAME --> and <!-- /NAME -->. Without a page, only the plots.
func Write(r Report, dir, page string) error {
	plots := map[string]func(io.Writer, Report){"drain.svg": plotDrain, "cpu.svg": plotCPU, "latency.svg": plotLatency}
	for name, plot := range plots {
		var b bytes.Buffer
		plot(&b, r)
		if err := replace(filepath.Join(dir, name), b.Bytes()); err != nil {
			return err
		}
	}
	if page == "" {
		return nil
	}
	content, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text := string(content)
	for name, section := range r.sections() {
		if text, err = fill(text, name, section); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	return replace(page, []byte(text))
}

// fill puts a section between its markers.
func fill(text, name, section string) (string, error) {
	open, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(text, open)
	if !ok {
		return "", fmt.Errorf("the marker %q is missing", strings.TrimSpace(open))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("the marker %q is missing", end)
	}
	return before + open + section + end + after, nil
}
