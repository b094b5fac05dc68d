package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox"
)

// Message is one that is set aside, without its content. Times are by the
// database's clock, in UTC; SentAt is the record's own.
type Message struct {
	Aside         int64      `json:"aside"` // its number, and the order of its lane
	Consumer      string     `json:"consumer"`
	Topic         string     `json:"topic"`
	Partition     int32      `json:"partition"`
	Offset        int64      `json:"offset"`
	ID            string     `json:"id"`  // empty where it has none that could be told
	Key           []byte     `json:"key"` // nil where there is none
	Type          string     `json:"type"`
	State         State      `json:"state"`
	Scope         string     `json:"scope"`  // what it holds: "key", "partition" or "none"
	Reason        string     `json:"reason"` // a word or two: handler, panic, unprovable, …
	Error         string     `json:"error"`  // the last attempt's
	Hint          string     `json:"hint"`
	Attempts      int        `json:"attempts"`
	SentAt        time.Time  `json:"sent_at"`
	StoredAt      time.Time  `json:"stored_at"`
	TriedAt       *time.Time `json:"tried_at"`
	ParkedAt      *time.Time `json:"parked_at"`
	NextAttemptAt *time.Time `json:"next_attempt_at"` // of a retrying one
	Redrive       bool       `json:"redrive"`         // an operator has asked for one more attempt
	RedriveBy     string     `json:"redrive_by"`      // who asked last
	// Behind is the number of the message that a held one waits for; nil also
	// where that has gone and its consumer has yet to go on.
	Behind *int64 `json:"behind"`
}

// Whole is a message with its content.
type Whole struct {
	Message
	Holds   int64          // messages that wait behind it
	Stack   string         // of a panic
	Headers []inbox.Header // as received
	Value   []byte         // nil is a null value, a tombstone
}

// fields are where messageColumns go.
func (m *Message) fields(more ...any) []any {
	return append([]any{
		&m.Aside, &m.Consumer, &m.Topic, &m.Partition, &m.Offset, &m.ID, &m.Key, &m.Type, &m.State, &m.Scope,
		&m.Reason, &m.Error, &m.Hint, &m.Attempts, &m.SentAt, &m.StoredAt, &m.TriedAt, &m.ParkedAt, &m.NextAttemptAt, &m.Redrive, &m.RedriveBy, &m.Behind,
	}, more...)
}

func (m *Message) inUTC() {
	for _, t := range []*time.Time{&m.SentAt, &m.StoredAt, m.TriedAt, m.ParkedAt, m.NextAttemptAt} {
		if t != nil {
			*t = t.UTC()
		}
	}
}

func (m Message) String() string {
	return fmt.Sprintf("%d (consumer %s, %s/%d offset %d, id %q)", m.Aside, m.Consumer, m.Topic, m.Partition, m.Offset, m.ID)
}

// List yields the messages that match, in the order they were set aside, as the
// database sends them: a million of them take no more memory than one. An error
// is the last that it yields.
func (o *Operator) List(ctx context.Context, s Selector) iter.Seq2[Message, error] {
	const doing = "list what is set aside"
	return func(yield func(Message, error) bool) {
		var limit *int
		if s.Limit > 0 {
			limit = &s.Limit
		}
		rows, err := o.db.Query(ctx, o.sql(sqlList), s.arguments(limit)...)
		if err != nil {
			yield(Message{}, explain(err, doing))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var m Message
			if err := rows.Scan(m.fields()...); err != nil {
				yield(Message{}, fmt.Errorf("%s: %w", doing, err))
				return
			}
			m.inUTC()
			if !yield(m, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Message{}, explain(err, doing))
		}
	}
}

// Show returns the one message that matches, with all there is to know of it.
// Where none does the error is an UnknownError, where several do an
// AmbiguousError.
func (o *Operator) Show(ctx context.Context, s Selector) (Whole, error) {
	const doing = "look the message up"
	rows, err := o.db.Query(ctx, o.sql(sqlShow), s.arguments(2)...)
	if err != nil {
		return Whole{}, explain(err, doing)
	}
	found, err := pgx.CollectRows(rows, scanWhole)
	switch {
	case err != nil:
		return Whole{}, explain(err, doing)
	case len(found) == 0:
		return Whole{}, o.unknown(ctx, s)
	case len(found) > 1:
		return Whole{}, o.ambiguous(ctx, s)
	}
	return found[0], nil
}

func scanWhole(row pgx.CollectableRow) (w Whole, err error) {
	var names, values [][]byte
	if err := row.Scan(w.fields(&w.Holds, &w.Stack, &names, &values, &w.Value)...); err != nil {
		return w, err
	}
	w.inUTC()
	for i, name := range names {
		h := inbox.Header{Name: string(name)}
		if i < len(values) {
			h.Value = values[i]
		}
		w.Headers = append(w.Headers, h)
	}
	return w, nil
}

// AmbiguousError means that more than one message matches.
type AmbiguousError struct {
	Messages []Message // ten at the most
}

func (e *AmbiguousError) Error() string {
	names := make([]string, 0, len(e.Messages))
	for _, m := range e.Messages {
		names = append(names, m.String())
	}
	return "more than one message matches: " + strings.Join(names, ", ")
}

func (o *Operator) ambiguous(ctx context.Context, s Selector) error {
	s.Limit = 10
	e := &AmbiguousError{}
	for m, err := range o.List(ctx, s) {
		if err != nil {
			return err
		}
		e.Messages = append(e.Messages, m)
	}
	return e
}

// UnknownError means that no message that matches is set aside.
type UnknownError struct {
	Dropped string // "skipped" or "discarded", where one that matches was given up
	By, Why string // who did that, and why
	At      time.Time
}

func (e *UnknownError) Error() string {
	if e.Dropped == "" {
		return "no message that is set aside matches: it has been handled, or never failed"
	}
	text := fmt.Sprintf("no message that is set aside matches: it was %s at %s", e.Dropped, e.At.Format(time.RFC3339))
	if e.By != "" {
		text += " by " + e.By
	}
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

func (o *Operator) unknown(ctx context.Context, s Selector) error {
	e := &UnknownError{}
	if len(s.Aside)+len(s.States) > 0 || s.Reason != "" { // of which nothing is kept
		return e
	}
	all := s.arguments()
	err := o.row(ctx, sqlDropped, all[1:7]...).Scan(&e.Dropped, &e.By, &e.Why, &e.At)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return explain(err, "look the message up")
	}
	e.At = e.At.UTC()
	return e
}

// Counts of messages that match a selector.
type Counts struct {
	Parked   int64 `json:"parked"`    // and not asked for
	Retrying int64 `json:"retrying"`  // and not asked for
	UnderWay int64 `json:"under_way"` // of both, those that an operator has asked for
	Held     int64 `json:"held"`
}

// Count is what a dry run shows.
func (o *Operator) Count(ctx context.Context, s Selector) (Counts, error) {
	var c Counts
	err := o.row(ctx, sqlCount, s.arguments()...).Scan(&c.Parked, &c.Retrying, &c.UnderWay, &c.Held)
	return c, explain(err, "count what is set aside")
}
