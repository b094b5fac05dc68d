package apply

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/pgtext"
)

// settle carries the verdicts out, in one round trip.
func (a *Applier) settle(ctx context.Context, s *Session, items []Item, result *Result) error {
	pipeline := &pgx.Batch{}
	var done []int64
	for i := range items {
		item := &items[i]
		m, v := &item.Message, item.Verdict
		if v != nil && v.State == Skipped && !item.Known {
			pipeline.Queue(a.statements.drop, a.Consumer, m.Topic, m.Partition, m.Offset,
				pgtext.Repaired(m.ID, idLimit), pgtext.Repaired(m.Type, idLimit), m.Key, pgtext.Repaired(errorText(v), textLimit), "consumer")
		}
		switch {
		case v.aside() && item.Aside == 0:
			a.store(pipeline, m, v, result)
		case v.aside() && v.State != Held:
			pipeline.Queue(a.statements.again, item.Aside, string(v.State), pgtext.Repaired(v.Reason, idLimit), pgtext.Repaired(errorText(v), textLimit), v.Hint,
				pgtext.Repaired(string(v.Stack), textLimit), v.Attempts, v.Pause)
		case item.Aside != 0 && !v.aside():
			done = append(done, item.Aside)
		}
	}
	if len(done) > 0 {
		pipeline.Queue(a.statements.done, done)
	}
	if pipeline.Len() == 0 {
		return nil
	}
	if err := s.conn.SendBatch(ctx, pipeline).Close(); err != nil {
		return fmt.Errorf("set messages aside: %w", err)
	}
	return nil
}

func (a *Applier) store(pipeline *pgx.Batch, m *inbox.Message, v *Verdict, result *Result) {
	names, values := make([][]byte, len(m.Headers)), make([][]byte, len(m.Headers))
	for i, h := range m.Headers {
		names[i], values[i] = []byte(h.Name), h.Value
	}
	pipeline.Queue(a.statements.store, a.Consumer, m.Topic, m.Partition, m.Offset, digest(m), []byte(v.Lane), string(v.Scope),
		string(v.State), pgtext.Repaired(v.Reason, idLimit), pgtext.Repaired(errorText(v), textLimit), v.Hint, pgtext.Repaired(string(v.Stack), textLimit), v.Attempts, v.Pause,
		pgtext.Repaired(cmp.Or(v.ID, m.ID), idLimit), pgtext.Repaired(m.Type, idLimit), moment(m.Sent), m.Key, names, values, m.Value).Exec(func(tag pgconn.CommandTag) error {
		result.Stored = result.Stored || tag.RowsAffected() == 0
		return nil
	})
}

// What is kept of texts, in bytes: they are for people, and the message itself
// is stored whole beside them.
const (
	idLimit   = 1000
	textLimit = 8000
)

func errorText(v *Verdict) string {
	if v.Err == nil {
		return ""
	}
	return v.Err.Error()
}

// moment is t as Postgres and JSON can keep it: producers take nanoseconds for
// milliseconds.
func moment(t time.Time) time.Time {
	switch first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC); {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}
