package advice

// Severity of a Finding.
type Severity string

const (
	// Wrong is what breaks a promise, or needs an operator.
	Wrong Severity = "error"
	// Doubtful is what may be meant.
	Doubtful Severity = "warning"
)

// Finding is one thing that tandem doctor tells.
type Finding struct {
	Code     string   `json:"code"` // its heading in docs/operating.md, such as "no-relay"
	Severity Severity `json:"severity"`
	Problem  string   `json:"problem"`
	Why      string   `json:"why"`
	Remedy   string   `json:"remedy"` // a command, or what to do
}
