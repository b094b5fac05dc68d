package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/integration/faults"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

// handler has the effects of messages, and sends a receipt for each.
type handler struct{ receipts string }

// The key's row is locked first, so the effects of a key, and its receipts, are
// numbered in the order of their commits.
const (
	numberSQL  = `INSERT INTO public.consumed VALUES ($1, $2, 1) ON CONFLICT (topic, key) DO UPDATE SET last = consumed.last + 1 RETURNING last`
	effectSQL  = `INSERT INTO public.effects (id, topic, key, seq, part, at, receipt) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	receiptSQL = `INSERT INTO public.facts (id, op, topic, key, seq, kind) VALUES ($1, $2, 'receipts', $3, $4, 'receipt')`
)

var errAway = errors.New("what it needs is away")

// database is a transaction of either library's.
type database interface {
	number(ctx context.Context, topic, key string) (int64, error)
	exec(ctx context.Context, sql string, arguments ...any) error
	add(ctx context.Context, e outbox.Event) error
}

// handle writes the effect of a message, and the event that says so. A message
// that is to fail does when its effect is written.
func (h handler) handle(ctx context.Context, tx database, m inbox.Message) error {
	var p faults.Payload
	if err := json.Unmarshal(m.Value, &p); err != nil {
		return err
	}
	receipt := outbox.Event{ID: outbox.NewID(), Topic: h.receipts}
	var number int64
	var err error
	if p.Key != "" {
		receipt.Key = p.Topic + "/" + p.Key
		if number, err = tx.number(ctx, p.Topic, p.Key); err != nil {
			return err
		}
	}
	if err := tx.exec(ctx, effectSQL, m.ID, p.Topic, p.Key, p.Seq, m.Partition, m.Offset, receipt.ID); err != nil {
		return err
	}
	if p.Poison || m.Attempt <= p.Fails {
		return fmt.Errorf("attempt %d: %w", m.Attempt, errAway)
	}
	if err := tx.exec(ctx, receiptSQL, receipt.ID, p.Op, receipt.Key, number); err != nil {
		return err
	}
	receipt.Payload, err = json.Marshal(faults.Payload{Topic: "receipts", Key: receipt.Key, Seq: number, Op: p.Op, Of: m.ID})
	if err != nil {
		return err
	}
	return tx.add(ctx, receipt)
}

func (h handler) each(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	return h.handle(ctx, byPgx{tx}, m)
}

func (h handler) eachSQL(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	return h.handle(ctx, bySQL{tx}, m)
}

func (h handler) batch(ctx context.Context, tx pgx.Tx, messages []inbox.Message) error {
	for i, m := range messages {
		// The event's cause is the message, which the context of a batch does not know.
		err := h.handle(inbox.WithCause(ctx, m), byPgx{tx}, m)
		if errors.Is(err, errAway) && i%2 == 0 { // else it has to be found
			return inbox.FailedAt(i, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type byPgx struct{ pgx.Tx }

func (tx byPgx) number(ctx context.Context, topic, key string) (n int64, err error) {
	return n, tx.QueryRow(ctx, numberSQL, topic, key).Scan(&n)
}

func (tx byPgx) exec(ctx context.Context, sql string, arguments ...any) error {
	_, err := tx.Exec(ctx, sql, arguments...)
	return err
}

func (tx byPgx) add(ctx context.Context, e outbox.Event) error { return outbox.Add(ctx, tx.Tx, e) }

type bySQL struct{ *sql.Tx }

func (tx bySQL) number(ctx context.Context, topic, key string) (n int64, err error) {
	return n, tx.QueryRowContext(ctx, numberSQL, topic, key).Scan(&n)
}

func (tx bySQL) exec(ctx context.Context, sql string, arguments ...any) error {
	_, err := tx.ExecContext(ctx, sql, arguments...)
	return err
}

func (tx bySQL) add(ctx context.Context, e outbox.Event) error { return outboxsql.Add(ctx, tx.Tx, e) }
