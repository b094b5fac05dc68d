package advice

// What findings are called: in tandem doctor --json, in what a relay ends with, and
// as the headings of docs/operating.md, which has a runbook for each. A code stays
// what it is when the words of a finding change; integration/docs wants each of them
// here and there.
const (
	// Of the database, before anything else can be looked at.
	Database        = "database"
	DatabaseMissing = "database-missing"
	LoginRefused    = "login-refused"
	Pooler          = "pooler"
	Standby         = "standby"
	SyncStandbys    = "sync-standbys"
	Encoding        = "encoding"

	// Of the schema.
	SchemaMissing     = "schema-missing"
	SchemaVersion     = "schema-version"
	Rights            = "rights"
	WriterRights      = "writer-rights"
	ObjectsMissing    = "objects-missing"
	LogLeaf           = "log-leaf"
	LogIndex          = "log-index"
	LogSequence       = "log-sequence"
	LeaseEmpty        = "lease-empty"
	SettingsEmpty     = "settings-empty"
	FunctionsUnknown  = "functions-unknown"
	FunctionsReplaced = "functions-replaced"
	FunctionsDropped  = "functions-dropped"

	// Of the checkpoint.
	CheckpointEmpty    = "checkpoint-empty"
	CheckpointTimeline = "checkpoint-timeline"
	CheckpointForeign  = "checkpoint-foreign"

	// Of relays and events.
	NoRelay       = "no-relay"
	NoStandby     = "no-standby"
	RelaySilent   = "relay-silent"
	Lag           = "lag"
	Backlog       = "backlog"
	LogSpace      = "log-space"
	Parked        = "parked"
	Deferred      = "deferred"
	TopicTrouble  = "topic-trouble"
	OpenTx        = "open-transaction"
	PreparedTx    = "prepared-transaction"
	FsyncOff      = "fsync-off"
	PageWritesOff = "full-page-writes-off"
	SyncCommitOff = "synchronous-commit-off"

	// Of the inbox.
	InboxParked     = "inbox-parked"
	InboxBlocked    = "inbox-blocked"
	InboxUnconsumed = "inbox-unconsumed"
	InboxStorage    = "inbox-storage"
	InboxHidden     = "inbox-hidden"

	// Of Kafka.
	Brokers         = "brokers"
	Topic           = "topic"
	TopicForbidden  = "topic-forbidden"
	TopicLeaderless = "topic-leaderless"
	TopicLimit      = "topic-limit"
)

// Runbook is where a code is written about, in the repository.
func Runbook(code string) string { return "docs/operating.md#" + code }
