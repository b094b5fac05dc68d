package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// timeFormat is the one of the journal, and of what the processes say.
const timeFormat = "15:04:05.000"

// journal is what the run knows of itself, outside of what it tests.
type journal struct {
	mu      sync.Mutex
	entries []entry
	ops     []*op
}

type entry struct {
	at        time.Time
	who, what string
}

func (j *journal) note(who, format string, arguments ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry{time.Now(), who, fmt.Sprintf(format, arguments...)})
}

// op is a writer's transaction, as the writer knows it.
type op struct {
	id         int64
	begun, end time.Time
	outcome    outcome
	err        error
	async      bool // its COMMIT does not wait for the disk
	drafts     []draft
}

// outcome is what became of a transaction.
type outcome int

const (
	unknown    outcome = iota // an error at COMMIT, or before: the facts tell
	committed                 // the server has said so
	rolledBack                // on purpose, or by an error before COMMIT
)

func (o outcome) String() string { return [...]string{"unknown", "committed", "rolled back"}[o] }

func (o *op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "op %d, begun %s, %s", o.id, o.begun.Format(timeFormat), o.outcome)
	if o.async {
		b.WriteString(" without waiting for the disk")
	}
	if o.err != nil {
		fmt.Fprintf(&b, " (%v)", o.err)
	}
	for _, d := range o.drafts {
		fmt.Fprintf(&b, "; %s %s %s/%s/%d", d.id, d.kind, d.topic, d.key, d.seq)
		if d.undone {
			b.WriteString(" undone by a savepoint")
		}
	}
	return b.String()
}

func (j *journal) add(o *op) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ops = append(j.ops, o)
}

// all is everything in order of time.
func (j *journal) all() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := slices.Clone(j.entries)
	for _, o := range j.ops {
		all = append(all, entry{o.end, "writer", o.String()})
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.at.Compare(b.at) })
	return all
}

func (e entry) String() string { return e.at.Format(timeFormat) + " " + e.who + ": " + e.what }

// faultsOnly is what the nemesis did.
func (j *journal) faultsOnly() string {
	var b strings.Builder
	for _, e := range j.all() {
		if e.who != "writer" {
			fmt.Fprintln(&b, e)
		}
	}
	return b.String()
}

// keep writes the journal and what the processes said, and returns where.
func (r *run) keep() string {
	dir := filepath.Join(os.TempDir(), "tandem-faults", fmt.Sprintf("%s-%d", r.plan.kafka(), r.plan.seed))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range r.journal.all() {
		fmt.Fprintln(&b, e)
	}
	files := map[string]string{"journal.txt": b.String(), "found.txt": strings.Join(r.found(), "\n")}
	for _, p := range r.processes() {
		files[p.name+".log"] = p.text()
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err.Error()
		}
	}
	return dir
}
