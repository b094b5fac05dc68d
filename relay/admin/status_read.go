package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/relay/internal/backlog"
	"github.com/tandem-outbox/tandem/relay/internal/facts"
)

// statusBound is up to where things are counted.
const statusBound = 10_000

func (s *statusReader) session(ctx context.Context) error {
	_, err := s.tx.Exec(ctx, sqlStatusSession)
	return err
}

func (s *statusReader) lease(ctx context.Context) error {
	l := &s.status.Lease
	return s.tx.QueryRow(ctx, s.sql(sqlStatusLease)).Scan(&s.status.At, &l.Held, &l.Holder, &l.Epoch, &l.AcquiredAt, &l.ExpiresAt)
}

func (s *statusReader) relays(ctx context.Context) error {
	rows, err := s.tx.Query(ctx, s.sql(sqlStatusRelays))
	if err != nil {
		return err
	}
	s.status.Relays = []Relay{}
	for rows.Next() {
		var r Relay
		var text []byte
		var f facts.Facts
		if err := rows.Scan(&r.Holder, &r.Version, &r.State, &r.Leads, &r.StartedAt, &r.SeenAt, &text); err != nil {
			rows.Close()
			return err
		}
		if err := json.Unmarshal(text, &f); err != nil {
			rows.Close()
			return fmt.Errorf("relay %s says what this version does not understand: %w", r.Holder, err)
		}
		r.Stats = f.Stats
		r.Silent = s.status.At.Sub(r.SeenAt).Seconds() > 3*f.BeatSeconds
		if r.Leads && !r.Silent && f.Term != nil {
			s.working = &working{Term: *f.Term, seen: r.SeenAt}
		}
		s.status.Relays = append(s.status.Relays, r)
	}
	return rows.Err()
}

// lag counts what lies beyond the saved checkpoint. What the relay has not read
// is counted as of its last word, else it would always seem that much behind.
func (s *statusReader) lag(ctx context.Context) error {
	var saved facts.Cursor
	lag := &s.status.Lag
	err := s.tx.QueryRow(ctx, s.sql(sqlStatusCheckpoint)).Scan(&saved.Prev, &saved.Low, &saved.Cur, &saved.Done, &saved.High, &lag.Positions.Committed)
	if err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	unsaved, err := backlog.Beyond(ctx, s.tx, s.schema, saved, statusBound, time.Time{})
	if err != nil {
		return err
	}
	lag.Amount = amountOf(unsaved)
	for _, t := range unsaved.Topics {
		topic := s.topic(t.Topic)
		topic.Backlog, topic.Seconds, topic.More = t.Events, unsaved.Now.Sub(t.Oldest).Seconds(), unsaved.Estimated
	}
	if s.working == nil {
		return nil
	}
	unread, err := backlog.Beyond(ctx, s.tx, s.schema, s.working.Read, statusBound, s.working.seen)
	if err != nil {
		return err
	}
	lag.stages(amountOf(unread), s.working)
	return nil
}

// stages splits the lag; what is left of it when the unread and the in flight
// are taken away is acknowledged, perhaps behind an event that is not.
func (l *Lag) stages(unread Amount, w *working) {
	unread.Events, unread.Bytes = min(unread.Events, l.Events), min(unread.Bytes, l.Bytes)
	flying := Amount{Events: min(w.InFlight, l.Events-unread.Events), Bytes: min(w.InFlightBytes, l.Bytes-unread.Bytes)}
	if w.InFlightOldest != nil && flying.Events > 0 {
		flying.Seconds = max(0, w.seen.Sub(*w.InFlightOldest).Seconds())
	}
	rest := Amount{Events: l.Events - unread.Events - flying.Events, Bytes: l.Bytes - unread.Bytes - flying.Bytes, Estimated: l.Estimated}
	if rest.Events > 0 {
		rest.Seconds = l.Seconds
	} else {
		rest.Bytes = 0 // keys and payloads, and what they take in memory, differ
	}
	l.Unread, l.InFlight, l.Acknowledged = &unread, &flying, &rest
	l.Positions.Read, l.Positions.Acknowledged, l.Positions.Saved = &w.ReadPosition, &w.AcknowledgedPosition, &w.SavedPosition
}

func amountOf(c backlog.Count) Amount {
	return Amount{Events: c.Events, Bytes: c.Bytes, Seconds: c.Age().Seconds(), Estimated: c.Estimated}
}

func (s *statusReader) aside(ctx context.Context) error {
	rows, err := s.tx.Query(ctx, s.sql(sqlStatusAside), statusBound)
	if err != nil {
		return err
	}
	a := &s.status.Aside
	sums := map[string]int64{}
	var state string
	var topic *string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&state, &topic, &n}, func() error {
		if topic == nil {
			sums[state] = n
			return nil
		}
		t := s.topic(*topic)
		switch State(state) {
		case Parked:
			t.Parked = n
		case Held:
			t.Held = n
		case Deferred:
			t.Deferred = n
		case Scheduled:
			t.Scheduled = n
		}
		return nil
	})
	a.Parked, a.Held, a.Deferred, a.Scheduled = sums["parked"], sums["held"], sums["deferred"], sums["scheduled"]
	a.Expired, a.Discarded = sums["expired"], sums["discarded"]
	a.More = a.Parked >= statusBound || a.Held+a.Deferred >= statusBound || a.Scheduled >= statusBound || a.Expired+a.Discarded >= statusBound
	return err
}

func (s *statusReader) log(ctx context.Context) (err error) {
	s.status.Log.Bytes, s.status.Log.LeavesUse, err = backlog.Size(ctx, s.tx, s.schema)
	return err
}

func (s *statusReader) transactions(ctx context.Context) (err error) {
	rows, err := s.tx.Query(ctx, s.sql(sqlStatusTransactions))
	if err != nil {
		return err
	}
	s.status.Transactions, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Transaction])
	return err
}

func (s *statusReader) prepared(ctx context.Context) (err error) {
	rows, err := s.tx.Query(ctx, sqlStatusPrepared)
	if err != nil {
		return err
	}
	s.status.Prepared, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Prepared])
	return err
}

func (s *statusReader) slots(ctx context.Context) (err error) {
	rows, err := s.tx.Query(ctx, sqlStatusSlots)
	if err != nil {
		return err
	}
	s.status.Slots, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Slot])
	return err
}

// topics adds what the relay says of them, and sorts.
func (s *statusReader) topics() {
	s.status.Topics, s.status.Warnings = []Topic{}, []string{}
	if w := s.working; w != nil {
		for _, f := range w.Topics {
			t := s.topic(f.Topic)
			t.Trouble, t.Since, t.SetAside = f.Trouble, f.Since, f.SetAside
		}
		s.status.Warnings = append(s.status.Warnings, w.Warnings...)
		s.status.DiskFullSeconds = w.DiskFullSeconds
	}
	for _, t := range s.byTopic {
		s.status.Topics = append(s.status.Topics, *t)
	}
	slices.SortFunc(s.status.Topics, func(a, b Topic) int { return cmp.Compare(a.Topic, b.Topic) })
}
