package bench

import "time"

// Report is one run: --json prints it, and it is kept beside docs/benchmarks.md.
type Report struct {
	Started     time.Time   `json:"started"`
	Environment Environment `json:"environment"`
	Results     []Result    `json:"results"`
}

// Environment is where a run was made, and what of it matters to its figures.
type Environment struct {
	Tandem   string            `json:"tandem"` // version
	Go       string            `json:"go"`
	OS       string            `json:"os"`
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Memory   int64             `json:"memory_bytes,omitempty"`
	Postgres string            `json:"postgres"`
	Kafka    string            `json:"kafka"`
	Settings map[string]string `json:"settings"` // of Postgres and of the topics
	// Warnings say which settings make the figures look better than they would be
	// in production.
	Warnings []string `json:"warnings,omitempty"`
}

// Result is one measurement of one system.
type Result struct {
	Measure string `json:"measure"` // write, drain, steady, consume, idle
	System  string `json:"system"`  // tandem, or a rival's name
	Case    string `json:"case"`    // which of the measure's, as "pipelined" or "1,000/s"
	Clients int    `json:"clients,omitempty"`
	Batch   int    `json:"batch,omitempty"` // messages, or events, in a transaction
	Round   int    `json:"round"`           // from 1

	Events  int     `json:"events"` // or transactions
	Payload int     `json:"payload_bytes,omitempty"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"per_second"` // events, or transactions where Measure is write
	// Rates are of the parts of a run: slices of write (of which Rate is the
	// median), tenths of a backlog.
	Rates []float64 `json:"rates,omitempty"`
	// Ratio is Rate divided by that of the case Against, measured in turn with this
	// one: the median of the ratios of their slices, or that of this round.
	Against string  `json:"against,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"`

	// Latency by what it was measured to: "committed" (of write from the begin, of
	// steady from when the transaction was to begin), "acknowledged" and "received"
	// (from the return of COMMIT), "whole" (acknowledged, from when the transaction
	// was to begin).
	Latency map[string]Latency `json:"latency,omitempty"`
	// CPU seconds by process: "relay" or "consumer", which is this one; and the
	// servers "postgres" and "kafka" where they run on this machine.
	CPU map[string]float64 `json:"cpu_seconds,omitempty"`
	// PeakMemory is of the relay, or of what stands in its place.
	PeakMemory int64  `json:"peak_memory_bytes,omitempty"`
	Audit      *Audit `json:"audit,omitempty"`
	Note       string `json:"note,omitempty"`
}
