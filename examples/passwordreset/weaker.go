package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/inbox"
)

// weaker are the ways to do it that lose mails or double them. Each is fine for as
// long as nothing goes wrong.
type weaker struct {
	pool   *pgxpool.Pool
	server *mailClient
	death  death
}

// sendThenCommit: what was mailed may not become true.
func (w *weaker) sendThenCommit(ctx context.Context, _, person string) error {
	return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		mail, err := newReset(ctx, tx, person)
		if err != nil {
			return err
		}
		if err := w.server.send(ctx, mail, ""); err != nil {
			return err
		}
		return w.death.halfway()
	})
}

// commitThenSend: what is true may never be mailed.
func (w *weaker) commitThenSend(ctx context.Context, _, person string) (err error) {
	var mail Mail
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		mail, err = newReset(ctx, tx, person)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.death.halfway(); err != nil {
		return err
	}
	return w.server.send(ctx, mail, "")
}

// addTo is an outbox, and a request that is not recognised when it is repeated.
func (w *weaker) addTo(topic string) func(ctx context.Context, _, person string) error {
	return func(ctx context.Context, _, person string) error {
		return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error { return addReset(ctx, tx, topic, person) })
	}
}

// plainMailer is the consumer that everybody writes first: send, then commit the
// offset. It loses nothing; what is there twice it mails twice, and after a death
// between its two steps it begins with a mail that is sent.
func (w *weaker) plainMailer(ctx context.Context, brokers []string, topic string, mailed *atomic.Int64) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: brokers, Topic: topic, GroupID: topic + ".mailer", StartOffset: kafka.FirstOffset, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	for {
		m, err := reader.FetchMessage(ctx)
		if err != nil {
			return err
		}
		var mail Mail
		if err := json.Unmarshal(m.Value, &mail); err != nil {
			return err
		}
		for w.server.send(ctx, mail, "") != nil && ctx.Err() == nil {
			continue // until the mail server has it
		}
		if err := w.death.halfway(); err != nil {
			return err
		}
		if err := reader.CommitMessages(ctx, m); err != nil {
			return err
		}
		mailed.Add(1)
	}
}

// mailWithoutKey is mailOnce, but for the key.
func mailWithoutKey(server *mailClient) inbox.Handler {
	return inbox.Typed(inbox.JSON[Mail](), func(ctx context.Context, tx pgx.Tx, _ inbox.Message, mail Mail) error {
		if err := server.send(ctx, mail, ""); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE resets SET mailed_at = now() WHERE token = $1`, mail.Token)
		return err
	})
}

// errDead ends what is under way: nothing that would follow is done, as if the
// process were killed there.
var errDead = errors.New("the process has died")

// death waits between two steps.
type death struct {
	mu   sync.Mutex
	near bool
}

func (d *death) approach() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.near = true
}

func (d *death) halfway() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.near {
		return nil
	}
	d.near = false
	return errDead
}
