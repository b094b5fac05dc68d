package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ReplaySelector says which published events are to be published again: those
// that match every field that is set, and are still in the log.
type ReplaySelector struct {
	From, To                 time.Time // when they were written: not before From, before To
	FromPosition, ToPosition int64     // both included
	Topic, Key, Type         string
	// Rate is how many events a second. Defaults to 1,000.
	Rate int
}

// DefaultRate is ReplaySelector.Rate where that is not set.
const DefaultRate = 1000

// arguments are $1 to $7 of both statements.
func (s ReplaySelector) arguments(more ...any) []any {
	return append([]any{orNone(s.From), orNone(s.To), orNone(s.FromPosition), orNone(s.ToPosition),
		orNone(s.Topic), orNone(s.Key), orNone(s.Type)}, more...)
}

func orNone[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Replayable is what a replay would publish.
type Replayable struct {
	Events int64 `json:"events"`
	// KeptFrom and KeptSince are the position and the time of the oldest published
	// event in the log: what came before has been given back. Nil if there is none.
	KeptFrom  *int64     `json:"kept_from"`
	KeptSince *time.Time `json:"kept_since"`
}

// CountReplay counts what Replay would ask for now. It reads the whole log, some
// seconds for a full one.
func (o *Operator) CountReplay(ctx context.Context, s ReplaySelector) (Replayable, error) {
	var r Replayable
	err := o.db.QueryRow(ctx, o.sql.countReplay, s.arguments()...).Scan(&r.Events, &r.KeptFrom, &r.KeptSince)
	if r.KeptSince != nil {
		*r.KeptSince = r.KeptSince.UTC()
	}
	return r, explain(err, "count what is kept")
}

// Replay asks the working relay to publish events again, in order of position,
// with the header tandem-replay. It ends at the last one that matches now; what
// is given back before the relay comes to it is left out. Where nothing matches,
// the error is a NotKeptError.
func (o *Operator) Replay(ctx context.Context, s ReplaySelector, by string) (Request, error) {
	var r Request
	if s.Rate < 0 {
		return r, fmt.Errorf("a rate of %d events a second: it must be at least 1", s.Rate)
	}
	err := r.scan(o.db.QueryRow(ctx, o.sql.replay, s.arguments(cmp.Or(s.Rate, DefaultRate), by)...))
	if errors.Is(err, pgx.ErrNoRows) {
		kept, err := o.CountReplay(ctx, s)
		if err != nil {
			return r, err
		}
		return r, &NotKeptError{kept}
	}
	return r, explain(err, "ask for a replay")
}

// NotKeptError means that no published event in the log matches.
type NotKeptError struct{ Replayable }

func (e *NotKeptError) Error() string {
	if e.KeptFrom == nil {
		return "no published event is in the log any more; the relay keeps some with --keep-leaves"
	}
	return fmt.Sprintf("no published event in the log matches; it has them from position %d (%s) on, and the relay keeps more with --keep-leaves",
		*e.KeptFrom, e.KeptSince.Format(time.RFC3339))
}
