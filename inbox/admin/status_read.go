package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/tandem-outbox/tandem/internal/pgerror"
)

// statusBound is up to where things are counted.
const statusBound = 100_000

// Up to so many ids are counted, where all of them take no more than so many
// bytes: an estimate of a table that nobody has analysed is a guess, which shows
// where there are few.
const (
	countedIDs   = 1000
	countedBytes = 4 << 20
)

// statusReader reads a Status part by part.
type statusReader struct {
	*Operator
	status     Status
	byConsumer map[string]*Consumer
}

// consumer returns the consumer's line.
func (s *statusReader) consumer(name string) *Consumer {
	if s.byConsumer == nil {
		s.byConsumer = map[string]*Consumer{}
	}
	c, ok := s.byConsumer[name]
	if !ok {
		c = &Consumer{Consumer: name, Unprovable: "refuse", Facts: json.RawMessage("{}"), Partitions: []Partition{}}
		s.byConsumer[name] = c
	}
	return c
}

func (s *statusReader) storage(ctx context.Context) error {
	st := &s.status.Storage
	if err := s.row(ctx, sqlStatusCeiling).Scan(&st.Ceiling, &s.status.At); err != nil {
		return err
	}
	var leaves, foreign int64
	err := s.row(ctx, sqlStatusStorage).Scan(&st.Floor, &st.Leaves, &st.Bytes, &st.IDs, &st.Foreign, &leaves, &foreign)
	if err == nil {
		st.IDsCounted, err = s.count(ctx, sqlCountIDs, leaves, &st.IDs)
	}
	if err == nil {
		st.ForeignCounted, err = s.count(ctx, sqlCountForeign, foreign, &st.Foreign)
	}
	if err != nil {
		return err
	}
	for _, t := range []*time.Time{&s.status.At, st.Floor, st.Ceiling} {
		if t != nil {
			*t = t.UTC()
		}
	}
	return nil
}

// count replaces an estimate where there are few.
func (s *statusReader) count(ctx context.Context, statement string, bytes int64, estimate *int64) (bool, error) {
	if bytes > countedBytes {
		return false, nil
	}
	var n int64
	err := s.row(ctx, statement, countedIDs+1).Scan(&n)
	if pgerror.State(err) == "42501" { // insufficient_privilege: the estimate has to do
		return false, nil
	}
	if err != nil || n > countedIDs {
		return false, err
	}
	*estimate = n
	return true, nil
}

func (s *statusReader) consumers(ctx context.Context) error {
	return s.each(ctx, sqlStatusConsumers, nil, func(scan func(...any) error) error {
		var name, unprovable string
		var at time.Time
		var facts []byte
		if err := scan(&name, &unprovable, &at, &facts); err != nil {
			return err
		}
		c := s.consumer(name)
		at = at.UTC()
		c.Unprovable, c.ConfiguredAt, c.Facts = unprovable, &at, facts
		return nil
	})
}

func (s *statusReader) partitions(ctx context.Context) error {
	return s.each(ctx, sqlStatusPartitions, []any{unseenAfter.Seconds()}, func(scan func(...any) error) error {
		var name string
		var p Partition
		var facts []byte
		if err := scan(&name, &p.Topic, &p.Partition, &p.Owner, &p.Epoch, &p.Since, &p.SeenAt, &p.Unseen, &facts); err != nil {
			return err
		}
		p.Since, p.SeenAt, p.Words = p.Since.UTC(), p.SeenAt.UTC(), wordsOf(facts)
		c := s.consumer(name)
		c.Partitions = append(c.Partitions, p)
		return nil
	})
}

// wordsOf takes what it understands: another version may say more, or less, or
// mean something else by a name.
func wordsOf(facts []byte) (w Words) {
	var said map[string]json.RawMessage
	if json.Unmarshal(facts, &said) != nil {
		return w
	}
	text := func(name string) (value string) {
		if json.Unmarshal(said[name], &value) != nil {
			return ""
		}
		return value
	}
	number := func(name string) *int64 {
		var value *int64
		if json.Unmarshal(said[name], &value) != nil || value != nil && *value < 0 { // not known yet
			return nil
		}
		return value
	}
	return Words{
		State: text("state"), Why: text("why"),
		Next: number("next"), End: number("end"), Lag: number("lag"), HeldKeys: number("held_keys"),
	}
}

func (s *statusReader) aside(ctx context.Context) error {
	return s.each(ctx, sqlStatusAside, nil, func(scan func(...any) error) error {
		var name, topic string
		var partition int32
		var a Aside
		if err := scan(&name, &topic, &partition, &a.Parked, &a.Retrying, &a.Held, &a.UnderWay, &a.Oldest); err != nil {
			return err
		}
		*a.Oldest = a.Oldest.UTC()
		c := s.consumer(name)
		c.Aside.add(a)
		for i := range c.Partitions {
			if p := &c.Partitions[i]; p.Topic == topic && p.Partition == partition {
				p.Aside = a
			}
		}
		return nil
	})
}

func (s *statusReader) given(ctx context.Context) error {
	total := map[bool]int64{}
	err := s.each(ctx, sqlStatusGiven, []any{statusBound}, func(scan func(...any) error) error {
		var name, kind string
		var n int64
		if err := scan(&name, &kind, &n); err != nil {
			return err
		}
		total[kind == "late"] += n
		switch c := s.consumer(name); kind {
		case "late":
			c.Late = n
		case "skipped":
			c.Skipped = n
		case "discarded":
			c.Discarded = n
		}
		return nil
	})
	for _, c := range s.byConsumer {
		c.More = total[true] >= statusBound || total[false] >= statusBound
	}
	return err
}

// each calls read for every row of a statement.
func (s *statusReader) each(ctx context.Context, statement string, args []any, read func(scan func(...any) error) error) error {
	rows, err := s.db.Query(ctx, s.sql(statement), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *statusReader) done() Status {
	s.status.Consumers = []Consumer{}
	for _, c := range s.byConsumer {
		s.status.Consumers = append(s.status.Consumers, *c)
	}
	slices.SortFunc(s.status.Consumers, func(a, b Consumer) int { return cmp.Compare(a.Consumer, b.Consumer) })
	return s.status
}
