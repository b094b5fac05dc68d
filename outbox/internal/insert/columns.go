package insert

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tandem-outbox/tandem/internal/lineage"
)

// Event has the fields of outbox.Event, which documents them. The two are
// converted into each other, so the compiler keeps them the same.
type Event struct {
	ID        string
	Topic     string
	Key       string
	Type      string
	Payload   []byte
	Tombstone bool
	Headers   map[string]string
	Partition *int32

	AtMostOnce bool
	NotBefore  time.Time
	Expires    time.Time
}

// Columns are the events of one call, as the arrays that Statement is given: one
// array a column, one element an event. A nil element is NULL.
type Columns struct {
	IDs        []uuid.UUID
	Topics     []string
	Partitions []*int32
	Keys       []*string
	Types      []*string
	Headers    []*string // JSON objects
	Payloads   [][]byte
	Sizes      []int64 // bytes of key, headers and payload together

	// Nil, which is NULL in every row, until an event has one: most calls have
	// none, and should not pay for three arrays of nothing.
	AtMostOnce []*bool
	NotBefore  []*time.Time
	Expires    []*time.Time

	given   []string          // the ids as the caller wrote them
	seen    map[uuid.UUID]int // where a given id stands
	lineage lineage.Lineage   // what events come from that do not say it themselves
}

// NewColumns makes room for n events, which come from what ctx tells.
func NewColumns(ctx context.Context, n int) *Columns {
	return &Columns{
		IDs:        make([]uuid.UUID, 0, n),
		Topics:     make([]string, 0, n),
		Partitions: make([]*int32, 0, n),
		Keys:       make([]*string, 0, n),
		Types:      make([]*string, 0, n),
		Headers:    make([]*string, 0, n),
		Payloads:   make([][]byte, 0, n),
		Sizes:      make([]int64, 0, n),
		given:      make([]string, 0, n),
		seen:       map[uuid.UUID]int{},
		lineage:    lineage.From(ctx),
	}
}

// Len is the number of events appended.
func (c *Columns) Len() int { return len(c.IDs) }

// One returns the parameters of Statements.One for the only event. The first is a
// uuid.UUID.
func (c *Columns) One() []any {
	var payload any // not a nil []byte, which some drivers take for an empty one
	if c.Payloads[0] != nil {
		payload = c.Payloads[0]
	}
	return []any{
		c.IDs[0], c.Topics[0], c.Partitions[0], c.Keys[0], c.Types[0], c.Headers[0], payload, c.Sizes[0],
		only(c.AtMostOnce), only(c.NotBefore), only(c.Expires),
	}
}

// only is the element of a column of one event, nil where it is missing.
func only[T any](column []*T) *T {
	if len(column) == 0 {
		return nil
	}
	return column[0]
}

// Append checks e and adds it. The error is a *Problem, or says that no random
// bytes were to be had for an id.
func (c *Columns) Append(e Event) error {
	if p := c.check(e); p != nil {
		p.Index, p.ID, p.Topic = c.Len(), e.ID, e.Topic
		return p
	}
	e.Headers = c.lineage.Complete(e.Headers) // which were checked when they came into the context
	id, err := c.id(e.ID)
	if err != nil {
		return fmt.Errorf("outbox: make an id: %w", err)
	}
	headers, err := headersJSON(e.Headers)
	if err != nil {
		return fmt.Errorf("outbox: headers as JSON: %w", err)
	}
	c.IDs = append(c.IDs, id)
	c.Topics = append(c.Topics, e.Topic)
	c.Partitions = append(c.Partitions, e.Partition)
	c.Keys = append(c.Keys, orNull(e.Key))
	c.Types = append(c.Types, orNull(e.Type))
	c.Headers = append(c.Headers, headers)
	c.Payloads = append(c.Payloads, payload(e))
	c.Sizes = append(c.Sizes, size(e))
	c.AtMostOnce = appendSparse(c.AtMostOnce, c.Len(), e.AtMostOnce, e.AtMostOnce)
	c.NotBefore = appendSparse(c.NotBefore, c.Len(), inMicroseconds(e.NotBefore), !e.NotBefore.IsZero())
	c.Expires = appendSparse(c.Expires, c.Len(), inMicroseconds(e.Expires), !e.Expires.IsZero())
	c.given = append(c.given, e.ID)
	return nil
}

// id is the event's own id, already checked, or a new one.
func (c *Columns) id(given string) (uuid.UUID, error) {
	if given == "" {
		return uuid.NewV7()
	}
	id, err := uuid.Parse(given)
	c.seen[id] = c.Len()
	return id, err
}

// appendSparse makes value, if it is set, the nth element. Elements before it
// that are missing are nil; those after it may be missing altogether, because
// unnest takes a short array's for NULL.
func appendSparse[T any](column []*T, n int, value T, set bool) []*T {
	if !set {
		return column
	}
	for len(column) < n-1 {
		column = append(column, nil)
	}
	return append(column, &value)
}

func headersJSON(headers map[string]string) (*string, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(headers)
	s := string(text)
	return &s, err
}

// payload is nil, which becomes NULL, for a tombstone and for nothing else.
func payload(e Event) []byte {
	switch {
	case e.Tombstone:
		return nil
	case e.Payload == nil:
		return []byte{}
	}
	return e.Payload
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func size(e Event) int64 {
	n := len(e.Key) + len(e.Payload)
	for name, value := range e.Headers {
		n += len(name) + len(value)
	}
	return int64(n)
}
