package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Event is one that is set aside, without its content. Times are by the
// database's clock, in UTC.
type Event struct {
	ID        uuid.UUID  `json:"id"`
	Position  int64      `json:"position"` // in the log
	Topic     string     `json:"topic"`
	Key       *string    `json:"key"`  // nil where there is none
	Type      *string    `json:"type"` // nil means the topic
	Partition *int32     `json:"partition"`
	State     State      `json:"state"`
	Reason    string     `json:"reason"` // the broker's, or what it is behind
	Hint      string     `json:"hint"`
	Attempts  int        `json:"attempts"`
	CreatedAt time.Time  `json:"created_at"`
	ParkedAt  time.Time  `json:"parked_at"` // parked, or else set aside
	TriedAt   *time.Time `json:"tried_at"`
	DueAt     *time.Time `json:"due_at"`
	Expires   *time.Time `json:"expires"`
	Redrive   *int64     `json:"redrive"` // the request that asks for it to be sent again
	Behind    *uuid.UUID `json:"behind"`  // the parked event that a held one waits for
}

// Whole is an event with its content.
type Whole struct {
	Event
	Holds   int64           `json:"holds"`   // events that wait behind it
	Headers json.RawMessage `json:"headers"` // null where there are none
	Payload []byte          `json:"payload"` // nil is a null value, a tombstone
}

// fields are where eventColumns go.
func (e *Event) fields() []any {
	return []any{&e.ID, &e.Position, &e.Topic, &e.Key, &e.Type, &e.Partition, &e.State, &e.Reason, &e.Hint, &e.Attempts,
		&e.CreatedAt, &e.ParkedAt, &e.TriedAt, &e.DueAt, &e.Expires, &e.Redrive, &e.Behind}
}

func (e *Event) inUTC() {
	e.CreatedAt, e.ParkedAt = e.CreatedAt.UTC(), e.ParkedAt.UTC()
	for _, t := range []*time.Time{e.TriedAt, e.DueAt, e.Expires} {
		if t != nil {
			*t = t.UTC()
		}
	}
}

// List yields the events that match, in order of position, as the database sends
// them: a million of them take no more memory than one. An error is the last
// that it yields.
func (o *Operator) List(ctx context.Context, s Selector) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var limit *int
		if s.Limit > 0 {
			limit = &s.Limit
		}
		rows, err := o.db.Query(ctx, o.sql.list, s.arguments(s.states(), limit)...)
		if err != nil {
			yield(Event{}, explain(err, "list what is set aside"))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var e Event
			if err := rows.Scan(e.fields()...); err != nil {
				yield(Event{}, fmt.Errorf("list what is set aside: %w", err))
				return
			}
			e.inUTC()
			if !yield(e, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Event{}, explain(err, "list what is set aside"))
		}
	}
}

// Show returns one event with all there is to know of it, or an UnknownError.
func (o *Operator) Show(ctx context.Context, id uuid.UUID) (Whole, error) {
	var w Whole
	err := o.db.QueryRow(ctx, o.sql.show, id).Scan(append(w.fields(), &w.Holds, &w.Headers, &w.Payload)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return w, o.unknown(ctx, id)
	}
	w.inUTC()
	return w, explain(err, "look the event up")
}

// UnknownError means that no event of this id is set aside.
type UnknownError struct {
	ID      uuid.UUID
	Dropped string // "expired" or "discarded", where it will never be sent
	By, Why string // who discarded it, and why
	At      time.Time
}

func (e *UnknownError) Error() string {
	switch {
	case e.Dropped == "":
		return fmt.Sprintf("no event %s is set aside: it has been sent, or was never refused", e.ID)
	case e.By == "":
		return fmt.Sprintf("event %s %s at %s and is not kept", e.ID, e.Dropped, e.At.Format(time.RFC3339))
	}
	text := fmt.Sprintf("event %s was %s by %s at %s and is not kept", e.ID, e.Dropped, e.By, e.At.Format(time.RFC3339))
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

func (o *Operator) unknown(ctx context.Context, id uuid.UUID) error {
	unknown := &UnknownError{ID: id}
	err := o.db.QueryRow(ctx, o.sql.dropped, id).Scan(&unknown.Dropped, &unknown.By, &unknown.Why, &unknown.At)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return explain(err, "look the event up")
	}
	unknown.At = unknown.At.UTC()
	return unknown
}

// Counts of events that match a selector, whatever its States.
type Counts struct {
	Parked    int64 `json:"parked"`    // and not being sent again yet
	UnderWay  int64 `json:"under_way"` // parked, and asked to be sent again
	Held      int64 `json:"held"`
	Deferred  int64 `json:"deferred"`
	Scheduled int64 `json:"scheduled"`
}

// Count is what a dry run shows.
func (o *Operator) Count(ctx context.Context, s Selector) (Counts, error) {
	var c Counts
	err := o.db.QueryRow(ctx, o.sql.count, s.arguments()...).Scan(&c.Parked, &c.UnderWay, &c.Held, &c.Deferred, &c.Scheduled)
	return c, explain(err, "count what is set aside")
}
