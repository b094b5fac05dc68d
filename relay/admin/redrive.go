package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Redrive asks the working relay to send the parked events that match again, in
// order, and with them what they hold. Those that are asked for already are not
// taken twice. by is who asks, for people. Where there is nothing to ask for, the
// error is a NothingError.
func (o *Operator) Redrive(ctx context.Context, s Selector, by string) (Request, error) {
	var r Request
	err := r.scan(o.db.QueryRow(ctx, o.sql.redrive, s.arguments(by)...))
	if errors.Is(err, pgx.ErrNoRows) {
		return r, o.nothing(ctx, s)
	}
	return r, explain(err, "ask for a redrive")
}

// NothingError means that no event that matches can be redriven or discarded.
type NothingError struct {
	Counts
	// Behind are the parked events, ten at the most, which the held ones that
	// match wait for.
	Behind []uuid.UUID
}

func (e *NothingError) Error() string {
	switch {
	case e.Parked > 0:
		return fmt.Sprintf("what matches (%d events) is in the relay's or somebody else's hands at this moment; try again", e.Parked)
	case e.UnderWay > 0:
		return fmt.Sprintf("what matches is being sent again already (%d events)", e.UnderWay)
	case e.Held > 0:
		ids := make([]string, 0, len(e.Behind))
		for _, id := range e.Behind {
			ids = append(ids, id.String())
		}
		return fmt.Sprintf("what matches is not parked but held (%d events), behind %s", e.Held, strings.Join(ids, ", "))
	case e.Deferred+e.Scheduled > 0:
		return fmt.Sprintf("what matches goes on by itself: %d events wait for their topic, %d for their time", e.Deferred, e.Scheduled)
	}
	return "no event that is set aside matches; see tandem parked list"
}

func (o *Operator) nothing(ctx context.Context, s Selector) error {
	counts, err := o.Count(ctx, s)
	if err != nil {
		return err
	}
	e := &NothingError{Counts: counts}
	rows, err := o.db.Query(ctx, o.sql.behind, s.arguments()...)
	if err == nil {
		e.Behind, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	}
	if err != nil {
		return explain(err, "look for what the events are behind")
	}
	return e
}
