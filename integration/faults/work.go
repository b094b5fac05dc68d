package faults

// Payload is what every event of a run says of itself.
type Payload struct {
	Topic  string `json:"topic"` // as the plan calls it
	Key    string `json:"key,omitempty"`
	Seq    int64  `json:"seq,omitempty"`    // of the key, by the order of its writers
	Op     int64  `json:"op"`               // the transaction, as the journal numbers them
	Fails  int    `json:"fails,omitempty"`  // so many attempts to handle it
	Poison bool   `json:"poison,omitempty"` // every attempt
	Of     string `json:"of,omitempty"`     // the event that this one is a receipt for
	Pad    string `json:"pad,omitempty"`
}

// ConsumerVariable holds an Order as JSON, for the consumer program.
const ConsumerVariable = "TANDEM_FAULTS_CONSUMER"

// Order is what a consumer is to do.
type Order struct {
	Database string
	Brokers  []string
	Consumer string
	Topics   []string
	Receipts string // the topic that it says so in
	Handler  string // "each", "batch" or "sql"
	Session  int    // SessionTimeout in milliseconds
	Attempts int    // MaxAttempts
}

// Tables are the service's own. Nothing in them keeps an effect from being doubled.
const Tables = `
CREATE TABLE public.keys (topic text, key text, last bigint NOT NULL, PRIMARY KEY (topic, key));
CREATE TABLE public.facts (
	id uuid NOT NULL, op bigint NOT NULL, topic text NOT NULL, key text NOT NULL, seq bigint NOT NULL,
	kind text NOT NULL, not_before timestamptz, expires timestamptz, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX ON public.facts (id);
CREATE TABLE public.consumed (topic text, key text, last bigint NOT NULL, PRIMARY KEY (topic, key));
CREATE TABLE public.effects (
	applied bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id uuid NOT NULL, topic text NOT NULL, key text NOT NULL,
	seq bigint NOT NULL, part integer NOT NULL, at bigint NOT NULL, receipt uuid NOT NULL);
CREATE INDEX ON public.effects (id);`
