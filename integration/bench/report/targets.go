package report

import "fmt"

// goPQCDC is what go-pq-cdc-kafka drained on such a machine when it could be had:
// the better of its figures.
const goPQCDC = 81_000

// target is what was to be reached. Value is 0 where nothing was measured.
type target struct {
	what    string
	wanted  string
	value   float64
	show    func(float64) string
	reached func(float64) bool
	unless  string // why it is not reached, whatever the value
}

func atLeast(what string, wanted, value float64, show func(float64) string) target {
	return target{what, "≥ " + show(wanted), value, show, func(v float64) bool { return v >= wanted }, ""}
}

func atMost(what string, wanted, value float64, show func(float64) string) target {
	return target{what, "≤ " + show(wanted), value, show, func(v float64) bool { return v <= wanted }, ""}
}

func (r Report) targets() string {
	if len(r.Results) == 0 {
		return missing
	}
	var rows [][]string
	for _, t := range append(r.drainTargets(), r.otherTargets()...) {
		value, verdict := "not measured", ""
		if t.value != 0 {
			value, verdict = "**"+t.show(t.value)+"**", "missed"
			switch {
			case t.unless != "":
				verdict += ": " + t.unless
			case t.reached(t.value):
				verdict = "reached"
			}
		}
		rows = append(rows, []string{t.what, t.wanted, value, verdict})
	}
	return table([]string{"", "target", "measured", ""}, rows)
}

// at is a target for a rate, which the writers have to keep.
func (t target) at(wanted float64, s series) target {
	if kept := s.median(rate); kept < 0.95*wanted {
		t.unless = fmt.Sprintf("only %s/s were written", rounded(kept))
	}
	return t
}

func (r Report) drainTargets() []target {
	of := func(system string) float64 { return r.one("drain", CaseBacklog, system).median(rate) }
	ours := of(Tandem)
	long := r.one("drain", CaseLong, Tandem)
	return []target{
		atLeast("drain: ÷ kafka-go from memory", 0.65, ratio(ours, of(KafkaGo)), two),
		atLeast("drain: ÷ SKIP LOCKED", 6, ratio(ours, of(SkipLocked)), one),
		atLeast("drain: ÷ go-pq-cdc-kafka (measured earlier: 81,000/s)", 6, ratio(ours, goPQCDC), one),
		atLeast("drain: ÷ Debezium, warm", 12, ratio(ours, r.one("drain", CaseBacklog, Debezium).median(warm)), one),
		atLeast("drain: ÷ Watermill, tuned", 30, ratio(ours, of(WatermillTuned)), one),
		atLeast("long drain: last tenth ÷ first", 0.9, long.median(lastToFirst), two),
		atMost("long drain: relay's memory, MB", 100e6, long.spread(memory).most, megabytes),
		atLeast("drain, snapshot held: ÷ without", 0.97, ratio(r.one("drain", CaseHeld, Tandem).median(rate), ours), two),
	}
}

func (r Report) otherTargets() []target {
	writes := func(name string) float64 {
		return r.one("write", name, Tandem).median(func(r Result) float64 { return r.Ratio })
	}
	each := func(n int) func(Result) bool { return func(r Result) bool { return r.Batch == n } }
	thousand, ten := r.one("steady", "1000/s", Tandem), r.one("steady", "10000/s", Tandem)
	together, apart := r.one("consume", "batch handler", Tandem).where(each(100)), r.one("consume", "message handler", Tandem).where(each(100))
	withInbox := func(r Result) float64 { return r.Ratio }
	beside := r.one("steady", CaseSteady, Tandem)
	return []target{
		atLeast("write, sequential: ÷ the SELECT 1 control (median of 1, 4, 16 clients)", 0.95, writes("sequential"), two),
		atLeast("write, pipelined: ÷ the bare transaction (median of 1, 4, 16 clients)", 0.92, writes("pipelined"), two),
		atMost("1,000/s, commit → acknowledged: p50 ms", 4, thousand.median(p50("acknowledged")), millis).at(1000, thousand),
		atMost("1,000/s, commit → acknowledged: p99 ms", 15, thousand.median(p99("acknowledged")), millis).at(1000, thousand),
		atMost("1,000/s, commit → received: p50 ms", 5, beside.median(p50(received)), millis).at(1000, beside),
		atMost("10,000/s, ten in a transaction, commit → acknowledged: p99 ms", 50, ten.where(each(10)).median(p99("acknowledged")), millis).at(10_000, ten.where(each(10))),
		atMost("10,000/s, one in a transaction, the same", 50, ten.where(each(1)).median(p99("acknowledged")), millis).at(10_000, ten.where(each(1))),
		atLeast("consume, batch 100, one effect row each, batch handler (all rows in one statement): messages/s", 30_000, together.median(rate), rounded),
		atLeast("… ÷ without inbox", 0.85, together.median(withInbox), two),
		atLeast("consume, batch 100, one effect row each, message handler (a statement for each): messages/s", 30_000, apart.median(rate), rounded),
		atLeast("… ÷ without inbox", 0.85, apart.median(withInbox), two),
		atMost("idle: % of a core", 1, r.one("idle", "empty log", Tandem).median(busy), two),
	}
}

func one(v float64) string { return fmt.Sprintf("%.1f", v) }
func two(v float64) string { return fmt.Sprintf("%.2f", v) }

// lastToFirst is how fast the last tenth was, measured by the first.
func lastToFirst(r Result) float64 {
	if len(r.Rates) == 0 {
		return 0
	}
	return ratio(r.Rates[len(r.Rates)-1], r.Rates[0])
}

// busy is how much of a core the relay took, in percent.
func busy(r Result) float64 { return 100 * ratio(r.CPU["relay"], r.Seconds) }
