package apply

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/tandem-outbox/tandem/inbox"
)

// Item is a message on its way through a transaction.
type Item struct {
	Message inbox.Message
	// Aside is the row of tandem.inbox_aside that the message was read from; 0
	// where it came from the broker.
	Aside int64
	// Lane is that of the row.
	Lane Lane
	// Redriven means that an operator has asked for this attempt.
	Redriven bool
	// Prepared is the runner's own mark.
	Prepared bool
	// Proof is by what a repetition of the message will be known.
	Proof Proof
	// Verdict says what is to become of the message instead of being handled.
	Verdict *Verdict
	// Known is set by Apply where the message is a duplicate.
	Known bool
}

// Proof is what tells the first delivery of a message from the others.
type Proof int

// The proofs.
const (
	ByID   Proof = iota // its id, which has to be one that the inbox can keep
	ByLate              // its id, in tandem.inbox_late where no leaf covers it
	ByRow               // its row of tandem.inbox_aside: it has no id that could be kept
)

// State is what a Verdict says. The first three are those of
// tandem.inbox_aside.
type State string

// The states of a message that is not handled now.
const (
	Retrying State = "retrying"
	Parked   State = "parked"
	Held     State = "held"
	Skipped  State = "skipped" // for good: its id is recorded
	Lost     State = "lost"    // for good, of a consumer that records nothing
)

// Scope is what waits behind a message that is set aside.
type Scope string

// The scopes.
const (
	Key       Scope = "key"
	Partition Scope = "partition"
	None      Scope = "none"
)

// Lane names the messages that are handled one after the other.
type Lane string

// Verdict is what becomes of a message that is not handled now.
type Verdict struct {
	State    State
	ID       string // to deduplicate by, where the message does not have it yet
	Scope    Scope
	Lane     Lane
	Reason   string // a word or two
	Err      error
	Hint     string
	Stack    []byte
	Attempts int           // so far
	Pause    time.Duration // of Retrying: until the next attempt
}

// aside tells whether the message is to be stored.
func (v *Verdict) aside() bool {
	return v != nil && (v.State == Retrying || v.State == Parked || v.State == Held)
}

// LaneOf returns the lane of a message that holds that much.
func LaneOf(m *inbox.Message, scope Scope) Lane {
	switch {
	case scope == Partition:
		return ""
	case scope == Key && m.Key != nil:
		sum := sha256.Sum256(m.Key)
		return Lane(sum[:16])
	}
	return Lane(digest(m))
}

// digest tells messages of one offset apart, and is the lane of a message that
// holds nothing: the 17th byte keeps such lanes and those of keys apart.
func digest(m *inbox.Message) []byte {
	h := sha256.New()
	field := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	field(binary.BigEndian.AppendUint64(nil, uint64(m.Offset)))
	field(m.Key)
	field(m.Value)
	for _, header := range m.Headers {
		field([]byte(header.Name))
		field(header.Value)
	}
	return append(h.Sum(nil)[:16], 0)
}
