package report

// The cases that are measured of rivals.
const (
	CaseBacklog = "backlog"
	CaseHeld    = "backlog, snapshot held"
	CaseLong    = "long backlog"
	CaseSteady  = "1,000/s"
	CaseOpen    = "1,000/s, a transaction open"
)
