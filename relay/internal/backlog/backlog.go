// Package backlog measures how much of the log lies beyond a cursor: beyond the
// saved checkpoint, or beyond what is read.
package backlog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/relay/internal/facts"
)

// Querier is a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Count is what lies beyond a cursor.
type Count struct {
	Events int64
	Bytes  int64 // of keys, headers and payloads
	// Estimated: there are more events than were counted. Events follows from
	// the log's sequence then, Bytes from the size of those counted.
	Estimated bool
	Oldest    time.Time // of the events counted, which are the first; zero where there are none
	Topics    []Topic   // the events counted, most first
	Now       time.Time // by the database's clock
}

// Age is that of the oldest event; 0 where there is none.
func (c Count) Age() time.Duration {
	if c.Oldest.IsZero() {
		return 0
	}
	return max(0, c.Now.Sub(c.Oldest))
}

// Topic is a topic's share of the events that were counted.
type Topic struct {
	Topic  string
	Events int64
	Bytes  int64
	Oldest time.Time
}

// Beyond counts the committed events beyond the cursor, each of three ways to be
// beyond it up to bound events. until, where it is not zero, leaves out what was
// written after it.
func Beyond(ctx context.Context, q Querier, name string, at facts.Cursor, bound int, until time.Time) (Count, error) {
	var c Count
	var limit *time.Time
	if !until.IsZero() {
		limit = &until
	}
	rows, err := q.Query(ctx, schema.Rewrite(sqlBeyond, name), at.Prev, at.Cur, at.Done, at.High, bound, limit)
	if err != nil {
		return c, fmt.Errorf("measure the backlog: %w", err)
	}
	var window, later, last int64
	for rows.Next() {
		var topic *string
		var t Topic
		var oldest *time.Time
		if err := rows.Scan(&topic, &t.Events, &t.Bytes, &oldest, &window, &later, &last, &c.Now); err != nil {
			rows.Close()
			return c, fmt.Errorf("measure the backlog: %w", err)
		}
		if oldest != nil {
			t.Oldest = *oldest
		}
		if topic != nil {
			t.Topic = *topic
			c.Topics = append(c.Topics, t)
			continue
		}
		c.Events, c.Bytes, c.Oldest = t.Events, t.Bytes, t.Oldest
		c.estimate(at, window, later, last, int64(bound))
	}
	if err := rows.Err(); err != nil {
		return c, fmt.Errorf("measure the backlog: %w", err)
	}
	return c, nil
}

// estimate takes the positions that were drawn for events where there are more
// than were counted. Those of rolled-back transactions are among them.
func (c *Count) estimate(at facts.Cursor, window, later, last, bound int64) {
	counted := c.Events
	if window == bound {
		c.Events += max(0, at.High-at.Done-window)
		c.Estimated = true
	}
	if later == bound {
		from := at.Low
		if at.Cur != "" {
			from = at.High
		}
		c.Events += max(0, last-from-later)
		c.Estimated = true
	}
	if counted > 0 {
		c.Bytes = int64(float64(c.Bytes) / float64(counted) * float64(c.Events))
	}
}

// Size is what the log takes on disk, with its indexes, and how many of its
// leaves hold anything.
func Size(ctx context.Context, q Querier, name string) (bytes int64, leaves int, err error) {
	if err := q.QueryRow(ctx, schema.Rewrite(sqlSize, name)).Scan(&bytes, &leaves); err != nil {
		return 0, 0, fmt.Errorf("measure the log: %w", err)
	}
	return bytes, leaves, nil
}

// Aside counts what is set aside, each state up to bound.
func Aside(ctx context.Context, q Querier, name string, bound int) (parked, waiting, scheduled int64, err error) {
	if err := q.QueryRow(ctx, schema.Rewrite(sqlAside, name), bound).Scan(&parked, &waiting, &scheduled); err != nil {
		return 0, 0, 0, fmt.Errorf("count what is set aside: %w", err)
	}
	return parked, waiting, scheduled, nil
}
