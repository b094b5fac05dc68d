package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/tandem-outbox/tandem/internal/bench"
)

func printBench(sys system, report bench.Report, asJSON bool) error {
	if asJSON {
		return writeJSON(sys.stdout, report)
	}
	printEnvironment(sys.stdout, report.Environment)
	for _, t := range benchTables {
		rows := benchRows(report.Results, t.measure)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(sys.stdout, "\n%s\n", t.title)
		table := tabwriter.NewWriter(sys.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, t.head)
		for _, r := range rows {
			t.row(table, r)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

const unknown = "unknown"

func printEnvironment(w io.Writer, e bench.Environment) {
	fmt.Fprintf(w, "%s, %s\n", e.Tandem, e.OS)
	fmt.Fprintf(w, "%d × %s, %.1f GB\n", e.Cores, cmp.Or(e.CPU, unknown), float64(e.Memory)/1e9)
	fmt.Fprintf(w, "PostgreSQL %s: fsync %s, synchronous_commit %s, shared_buffers %s, max_wal_size %s\n",
		e.Postgres, e.Settings["fsync"], e.Settings["synchronous_commit"], e.Settings["shared_buffers"], e.Settings["max_wal_size"])
	if e.Kafka != "" {
		fmt.Fprintf(w, "Kafka, %s: acks=all, replicas: %s, min.insync.replicas %s\n", e.Kafka,
			cmp.Or(e.Settings["topic.replication.factor"], unknown), cmp.Or(e.Settings["topic.min.insync.replicas"], unknown))
	}
	for _, warning := range e.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
}

// grouped is 12,346.
func grouped(n float64) string {
	text := strconv.FormatFloat(n, 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// benchRow is the rounds of one case.
type benchRow struct {
	bench.Result // the first
	rounds       []bench.Result
}

// of is the median of a figure over the rounds.
func (r *benchRow) of(figure func(bench.Result) float64) float64 {
	var all []float64
	for _, one := range r.rounds {
		all = append(all, figure(one))
	}
	return bench.Median(all)
}

func (r *benchRow) rate() string {
	return grouped(r.of(func(one bench.Result) float64 { return one.Rate }))
}

// cpu is what each process took, in seconds for a million events.
func (r *benchRow) cpu(processes ...string) string {
	var all []string
	for _, name := range processes {
		text := "?"
		if _, known := r.CPU[name]; known {
			text = fmt.Sprintf("%.2f", r.of(func(one bench.Result) float64 { return one.CPU[name] * 1e6 / float64(one.Events) }))
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func (r *benchRow) ratio() string {
	if r.Against == "" {
		return ""
	}
	return fmt.Sprintf("%.3f of %s", r.of(func(one bench.Result) float64 { return one.Ratio }), r.Against)
}

func (r *benchRow) audit() string {
	var sum bench.Audit
	for _, one := range r.rounds {
		if one.Audit == nil {
			return "not audited"
		}
		sum = sum.Add(*one.Audit)
	}
	if sum.Clean() {
		return "clean"
	}
	return strings.ToUpper(sum.String())
}

// benchRows are the results of a measure, rounds of a case together.
func benchRows(results []bench.Result, measure string) []*benchRow {
	type key struct {
		name           string
		clients, batch int
	}
	rows := map[key]*benchRow{}
	var all []*benchRow
	for _, r := range results {
		if r.Measure != measure {
			continue
		}
		k := key{r.Case, r.Clients, r.Batch}
		if rows[k] == nil {
			rows[k] = &benchRow{Result: r}
			all = append(all, rows[k])
		}
		rows[k].rounds = append(rows[k].rounds, r)
	}
	return all
}

var benchTables = []struct {
	measure, title, head string
	row                  func(io.Writer, *benchRow)
}{
	{"write", "write: transactions with one row, and an event", "CASE\tCLIENTS\tTX/S\tP50 ms\tP99 ms\tRATIO\tAUDIT", func(w io.Writer, r *benchRow) {
		l := r.Latency["committed"]
		fmt.Fprintf(w, "%s\t%d\t%s\t%.2f\t%.2f\t%s\t%s\n", r.Case, r.Clients, r.rate(), l.P50, l.P99, r.ratio(), r.audit())
	}},
	{"drain", "drain: a backlog; CPU seconds a million events of relay, PostgreSQL, Kafka", "CASE\tEVENTS\tEVENTS/S\tCPU\tPEAK MB\tLAST ÷ FIRST TENTH\tRATIO\tAUDIT", func(w io.Writer, r *benchRow) {
		peak := r.of(func(one bench.Result) float64 { return float64(one.PeakMemory) / 1e6 })
		tenths := r.of(func(one bench.Result) float64 { return one.Rates[len(one.Rates)-1] / one.Rates[0] })
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.0f\t%.2f\t%s\t%s\n", r.Case, grouped(float64(r.Events)), r.rate(), r.cpu("relay", "postgres", "kafka"), peak, tenths, r.ratio(), r.audit())
	}},
	{"steady", "steady: how long an event takes, p50 / p99 in ms", "RATE\tEVENTS/S\tCOMMITTED\tACKNOWLEDGED\tRECEIVED\tWHOLE\tAUDIT", func(w io.Writer, r *benchRow) {
		at := func(name string) string {
			return fmt.Sprintf("%.2f / %.2f", r.Latency[name].P50, r.Latency[name].P99)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Case, r.rate(), at("committed"), at("acknowledged"), at("received"), at("whole"), r.audit())
		if r.Note != "" {
			fmt.Fprintf(w, "\t%s\n", r.Note)
		}
	}},
	{"consume", "consume: messages with one effect row each; CPU seconds a million of consumer, PostgreSQL, Kafka", "CASE\tBATCH\tMESSAGES/S\tCPU\tRATIO\tAUDIT", func(w io.Writer, r *benchRow) {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", r.Case, r.Batch, r.rate(), r.cpu("consumer", "postgres", "kafka"), r.ratio(), r.audit())
	}},
	{"idle", "idle: a relay on an empty log", "CASE\tOF A CORE\tAUDIT", func(w io.Writer, r *benchRow) {
		fmt.Fprintf(w, "%s\t%.2f %%\t%s\n", r.Case, 100*r.CPU["relay"]/r.Seconds, r.audit())
	}},
}
