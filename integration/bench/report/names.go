package report

// The systems that the report speaks of by name.
const (
	Tandem         = "tandem"
	KafkaGo        = "kafka-go"
	FranzGo        = "franz-go"
	SkipLocked     = "SKIP LOCKED"
	MarkPurge      = "mark + purge"
	Watermill      = "Watermill"
	WatermillTuned = "Watermill tuned"
	Debezium       = "Debezium"
)

// The cases that are measured of several systems.
const (
	CaseBacklog = "backlog"
	CaseHeld    = "backlog, snapshot held"
	CaseLong    = "long backlog"
	CaseSteady  = "1,000/s"
	CaseOpen    = "1,000/s, a transaction open"
	CaseLarge   = "a record of 2 MB"
)

// What becomes of a process beside a record that the broker refuses.
const (
	GoesOn = "goes on"
	Stands = "publishes nothing more"
	Ends   = "ends with an error"
)

// received is what latency of rivals is measured to.
const received = "received"

// fromMemory are the systems that show the limit: they have no outbox.
var fromMemory = map[string]bool{KafkaGo: true, FranzGo: true}
