package admin

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/relay/internal/facts"
)

// Status is how a log and its relays are, as the database has it: what its JSON
// has under a name will be there under that name in later versions too. Times are
// by the database's clock.
type Status struct {
	At     time.Time `json:"at"`
	Schema string    `json:"schema"`
	Lease  Lease     `json:"lease"`
	// Relays are those that have written their row within the last day: the
	// working one first, then those that stand by.
	Relays []Relay `json:"relays"`
	Lag    Lag     `json:"lag"`
	Aside  Aside   `json:"aside"`
	Log    Log     `json:"log"`
	// Topics are those with a backlog, with something set aside, or that the
	// working relay knows.
	Topics []Topic `json:"topics"`
	// Transactions hold something of the log back, the oldest first.
	Transactions []Transaction `json:"transactions"`
	Prepared     []Prepared    `json:"prepared_transactions"`
	Slots        []Slot        `json:"replication_slots"`
	// Warnings are the working relay's, of its backlog.
	Warnings []string `json:"warnings"`
	// DiskFullSeconds is when the log's disk is full at the present rate, by the
	// working relay's word; 0 where it does not grow, or --disk-size is not set.
	DiskFullSeconds float64 `json:"disk_full_seconds"`
}

// Lease is who may relay.
type Lease struct {
	Held       bool       `json:"held"` // it has not run out
	Holder     string     `json:"holder"`
	Epoch      int64      `json:"epoch"`
	AcquiredAt *time.Time `json:"acquired_at"`
	ExpiresAt  *time.Time `json:"expires_at"` // nil if it was given up
}

// Relay is one that runs, or did a moment ago.
type Relay struct {
	Holder    string    `json:"holder"`
	Version   string    `json:"version"`
	State     string    `json:"state"` // as in relay.State
	Leads     bool      `json:"leads"`
	StartedAt time.Time `json:"started_at"`
	SeenAt    time.Time `json:"seen_at"`
	// Silent: it has missed three beats.
	Silent bool             `json:"silent"`
	Stats  map[string]int64 `json:"stats"`
}

// Lag is what is committed and not saved as done, and where on the way it is.
// The stages are the working relay's word, some seconds old; nil without one.
type Lag struct {
	Amount
	Unread       *Amount `json:"committed_not_read"`
	InFlight     *Amount `json:"read_not_acknowledged"`
	Acknowledged *Amount `json:"acknowledged_not_saved"`
	// Positions are how far the stages are, for people: the log's last, and by
	// the relay's word the greatest read, and those below which everything is
	// acknowledged and saved.
	Positions Positions `json:"positions"`
}

// Positions are of the log.
type Positions struct {
	Committed    int64  `json:"committed"`
	Read         *int64 `json:"read"`
	Acknowledged *int64 `json:"acknowledged"`
	Saved        *int64 `json:"saved"`
}

// Amount of events.
type Amount struct {
	Events    int64   `json:"events"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`   // the age of the oldest
	Estimated bool    `json:"estimated"` // there are more than were counted
}

// Aside is what is set aside or was dropped.
type Aside struct {
	Parked    int64 `json:"parked"`
	Held      int64 `json:"held"`
	Deferred  int64 `json:"deferred"`
	Scheduled int64 `json:"scheduled"`
	Expired   int64 `json:"expired"`
	Discarded int64 `json:"discarded"`
	// More: some of these are beyond what is counted, 10,000.
	More bool `json:"more"`
}

// Log is what the log takes.
type Log struct {
	Bytes     int64 `json:"bytes"`       // on disk, with its indexes
	LeavesUse int   `json:"leaves_used"` // that hold anything
	Leaves    int   `json:"leaves"`
}

// Topic is one topic's share.
type Topic struct {
	Topic     string  `json:"topic"`
	Backlog   int64   `json:"backlog"`
	Seconds   float64 `json:"seconds"` // the age of the oldest of the backlog
	More      bool    `json:"more"`    // the backlog, or what is set aside, was not counted to its end
	Parked    int64   `json:"parked"`
	Held      int64   `json:"held"`
	Deferred  int64   `json:"deferred"`
	Scheduled int64   `json:"scheduled"`
	// What the working relay says of it.
	Trouble  string     `json:"trouble"`
	Since    *time.Time `json:"since"`
	SetAside bool       `json:"set_aside"`
}

// Transaction is one that is open, and what of the log it holds back.
type Transaction struct {
	PID         int32  `json:"pid"`
	Application string `json:"application"`
	User        string `json:"user"`
	State       string `json:"state"`
	// Seconds since it began; 0 where Hidden.
	Seconds float64 `json:"seconds"`
	Query   string  `json:"query"` // clipped
	// Hidden: this login sees nothing of another's session. GRANT
	// pg_read_all_stats to see it.
	Hidden bool `json:"hidden"`
	// Holds is "events": what it wrote is not visible yet, nor are its leaves
	// given back; "leaves": it reads the log, which keeps its leaves; "rows": its
	// snapshot or id keeps dead rows of Tandem's other tables.
	Holds string `json:"holds"`
}

// Prepared is a prepared transaction, which survives everything but its end.
type Prepared struct {
	ID      string  `json:"id"`
	Owner   string  `json:"owner"`
	Seconds float64 `json:"seconds"`
}

// Slot is a replication slot. It holds nothing of the log back, but WAL.
type Slot struct {
	Name   string `json:"name"`
	Active bool   `json:"active"`
	Bytes  int64  `json:"wal_bytes"` // that it keeps
}

// ReadStatus looks at a log. It takes a moment also where the backlog is long:
// counts end at 10,000, what lies beyond is an estimate and says so.
func ReadStatus(ctx context.Context, conn *pgx.Conn, schemaName string) (Status, error) {
	if schemaName == "" {
		schemaName = schema.Default
	}
	if err := schema.Check(schemaName); err != nil {
		return Status{}, err
	}
	s := &statusReader{schema: schemaName, status: Status{Schema: schemaName, Log: Log{Leaves: 16}}}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		s.tx = tx
		for _, read := range []func(context.Context) error{s.session, s.lease, s.relays, s.lag, s.aside, s.log, s.transactions, s.prepared, s.slots} {
			if err := read(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	s.topics()
	return s.status, explain(err, "read the status")
}

// statusReader reads a Status part by part.
type statusReader struct {
	tx      pgx.Tx
	schema  string
	status  Status
	working *working // nil where no relay works that is heard of
	byTopic map[string]*Topic
}

// working is what the working relay has said last.
type working struct {
	facts.Term
	seen time.Time
}

func (s *statusReader) sql(statement string) string { return schema.Rewrite(statement, s.schema) }

// topic returns the topic's line.
func (s *statusReader) topic(name string) *Topic {
	if s.byTopic == nil {
		s.byTopic = map[string]*Topic{}
	}
	t, ok := s.byTopic[name]
	if !ok {
		t = &Topic{Topic: name}
		s.byTopic[name] = t
	}
	return t
}
