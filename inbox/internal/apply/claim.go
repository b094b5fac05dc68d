package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox"
)

// Do runs statements in a transaction with the limits of a batch's.
func (a *Applier) Do(ctx context.Context, work func(ctx context.Context, conn *pgx.Conn) error) (err error) {
	s, err := a.Database.begin(ctx, limits{a.LockTimeout, a.IdleTimeout}, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	defer func() {
		if err != nil {
			s.abort(ctx)
		}
	}()
	if err := work(ctx, s.conn); err != nil {
		return err
	}
	return s.commit(ctx)
}

// claimSQL waits for the transaction of the owner, for LockTimeout at most.
const claimSQL = `SELECT epoch, changed FROM tandem.claim_inbox_partition($1, $2, $3, $4)`

// Claim takes a partition over once its owner's transaction has ended. It
// returns the fence to work under, and the count of changes.
func (a *Applier) Claim(ctx context.Context, topic string, partition int, holder string) (f *Fence, changed int64, err error) {
	f = &Fence{Topic: topic, Partition: partition}
	err = a.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, a.statements.claim, a.Consumer, topic, partition, holder).Scan(&f.Epoch, &changed)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("take the partition over: %w", err)
	}
	return f, changed, nil
}

// Head is the first of a lane's messages that are set aside.
type Head struct {
	Lane  Lane
	Scope Scope
	State State
	// Due is how long until it is to be tried; below zero where an operator
	// decides.
	Due time.Duration
}

// headsSQL reads the first row of each lane, by inbox_aside_lane. A row that
// holds nothing is of interest only when it is to be tried.
const headsSQL = `
SELECT lane, scope, state, CASE WHEN redrive OR state = 'held' THEN 0
    WHEN due_at IS NOT NULL THEN greatest(0, extract(epoch FROM due_at - clock_timestamp())) END::float8
FROM (SELECT DISTINCT ON (lane) lane, scope, state, redrive, due_at FROM tandem.inbox_aside
    WHERE consumer = $1 AND topic = $2 AND partition = $3 ORDER BY lane, aside) AS head
WHERE NOT (scope = 'none' AND state = 'parked' AND NOT redrive)`

const countSQL = `SELECT count(*) FROM tandem.inbox_aside WHERE consumer = $1 AND topic = $2 AND partition = $3`

const changedSQL = `SELECT epoch, changed FROM tandem.inbox_partition WHERE consumer = $1 AND topic = $2 AND partition = $3`

// Heads reads what is set aside of a partition: the lanes that wait, and how
// many messages there are altogether; and the count of changes before that.
func (a *Applier) Heads(ctx context.Context, f *Fence) (heads []Head, rows, changed int64, err error) {
	err = a.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		arguments := []any{a.Consumer, f.Topic, f.Partition}
		if changed, err = a.changed(ctx, conn, f); err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, a.statements.count, arguments...).Scan(&rows); err != nil {
			return err
		}
		result, err := conn.Query(ctx, a.statements.heads, arguments...)
		if err != nil {
			return err
		}
		heads, err = pgx.CollectRows(result, func(row pgx.CollectableRow) (h Head, err error) {
			var lane []byte
			var due *float64
			err = row.Scan(&lane, &h.Scope, &h.State, &due)
			h.Lane, h.Due = Lane(lane), -1
			if due != nil {
				h.Due = time.Duration(*due * float64(time.Second))
			}
			return h, err
		})
		return err
	})
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read what is set aside: %w", err)
	}
	return heads, rows, changed, nil
}

// rowsSQL reads the first messages of lanes, in order, $5 at most and as many as
// fit into $6 bytes, but one at least. Lane by lane, each by inbox_aside_lane:
// asked for all lanes at once, the planner reads the table in its order, and with
// it whatever is set aside before.
const rowsSQL = `
SELECT aside, lane, redrive, attempts, position, sent_at, key, header_names, header_values, value, total
FROM (SELECT a.*, sum(coalesce(octet_length(value), 0) + coalesce(octet_length(key), 0)) OVER (ORDER BY aside) AS bytes,
        row_number() OVER (ORDER BY aside) AS n, count(*) OVER () AS total
    FROM (SELECT r.aside FROM unnest($4::bytea[]) AS l (lane), LATERAL (SELECT b.aside FROM tandem.inbox_aside AS b
            WHERE b.consumer = $1 AND b.topic = $2 AND b.partition = $3 AND b.lane = l.lane ORDER BY b.aside LIMIT $5) AS r
        ORDER BY r.aside LIMIT $5) AS first JOIN tandem.inbox_aside AS a USING (aside)) AS counted
WHERE n = 1 OR bytes <= $6
ORDER BY aside`

// Rows reads the first messages of lanes, in order; whole tells that there are
// no more. The messages have neither the id nor the other attributes that a
// runner finds in headers; Attempt is that of the attempt to come.
func (a *Applier) Rows(ctx context.Context, f *Fence, lanes []Lane, limit, bytes int) (items []Item, whole bool, err error) {
	names := make([][]byte, len(lanes))
	for i, l := range lanes {
		names[i] = []byte(l)
	}
	total := 0
	err = a.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, a.statements.rows, a.Consumer, f.Topic, f.Partition, names, limit, bytes)
		if err != nil {
			return err
		}
		items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (item Item, err error) {
			var lane []byte
			var headerNames, headerValues [][]byte
			m := &item.Message
			err = row.Scan(&item.Aside, &lane, &item.Redriven, &m.Attempt, &m.Offset, &m.Sent, &m.Key, &headerNames, &headerValues, &m.Value, &total)
			item.Lane, m.Topic, m.Partition = Lane(lane), f.Topic, f.Partition
			m.Attempt++
			m.Sent = m.Sent.UTC()
			m.Headers = make([]inbox.Header, len(headerNames))
			for i, name := range headerNames {
				m.Headers[i] = inbox.Header{Name: string(name), Value: headerValues[i]}
			}
			return item, err
		})
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("read messages that were set aside: %w", err)
	}
	return items, len(items) == total && total < limit, nil
}

// Changed reads the count of changes by others.
func (a *Applier) Changed(ctx context.Context, f *Fence) (changed int64, err error) {
	err = a.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		changed, err = a.changed(ctx, conn, f)
		return err
	})
	return changed, err
}

// changed is Changed in a transaction. A claim that somebody has deleted is one
// that is lost.
func (a *Applier) changed(ctx context.Context, conn *pgx.Conn, f *Fence) (changed int64, err error) {
	var epoch int64
	err = conn.QueryRow(ctx, a.statements.changed, a.Consumer, f.Topic, f.Partition).Scan(&epoch, &changed)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, err
	}
	if epoch != f.Epoch {
		return 0, fmt.Errorf("%w (epoch %d, now %d)", ErrFenced, f.Epoch, epoch)
	}
	return changed, nil
}

// beatSQL shows people that the partition's owner is there, and how it does.
const beatSQL = `
UPDATE tandem.inbox_partition SET seen_at = clock_timestamp(), facts = $5
WHERE consumer = $1 AND topic = $2 AND partition = $3 AND epoch = $4`

// Beat writes the owner's facts about its partitions, for people.
func (a *Applier) Beat(ctx context.Context, facts map[Fence]any) error {
	err := a.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		pipeline := &pgx.Batch{}
		// In the order in which operators lock these rows.
		for _, f := range slices.SortedFunc(maps.Keys(facts), Fence.compare) {
			text, err := json.Marshal(facts[f]) // pgx by itself would ask the server what the column is
			if err != nil {
				return err
			}
			pipeline.Queue(a.statements.beat, a.Consumer, f.Topic, f.Partition, f.Epoch, string(text))
		}
		return conn.SendBatch(ctx, pipeline).Close()
	})
	if err != nil {
		return fmt.Errorf("write the facts about partitions: %w", err)
	}
	return nil
}
