package main

import (
	"context"
	"crypto/rand"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

const tables = `CREATE TABLE resets (token text PRIMARY KEY, person text NOT NULL, mailed_at timestamptz)`

// requestReset is what happens when somebody presses the button. The token and the
// wish for a mail are committed together; the id of the request, which the page
// makes, keeps a repetition from being a second request.
func requestReset(ctx context.Context, pool *pgxpool.Pool, topic, requestID, person string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		first, err := inbox.Once(ctx, tx, "reset requests", requestID)
		if err != nil || !first {
			return err
		}
		return addReset(ctx, tx, topic, person)
	})
}

func addReset(ctx context.Context, tx pgx.Tx, topic, person string) error {
	mail, err := newReset(ctx, tx, person)
	if err != nil {
		return err
	}
	body, err := json.Marshal(mail)
	if err != nil {
		return err
	}
	return outbox.Add(ctx, tx, outbox.Event{Topic: topic, Key: person, Type: "reset.requested", Payload: body})
}

// newReset makes a link that works when tx is committed.
func newReset(ctx context.Context, tx pgx.Tx, person string) (Mail, error) {
	mail := Mail{To: person, Token: rand.Text()}
	_, err := tx.Exec(ctx, `INSERT INTO resets VALUES ($1, $2)`, mail.Token, mail.To)
	return mail, err
}

// mailOnce is the handler of the consumer that mails. Sending is outside of the
// transaction, and happens as often as the message is tried: after an answer that
// was lost, after a COMMIT that failed. So the mail has a key, the message's id, by
// which the mail server knows a mail that it has taken already.
func mailOnce(server *mailClient) inbox.Handler {
	return inbox.Typed(inbox.JSON[Mail](), func(ctx context.Context, tx pgx.Tx, m inbox.Message, mail Mail) error {
		if err := server.send(ctx, mail, m.ID); err != nil {
			return err // it is tried again, with pauses
		}
		_, err := tx.Exec(ctx, `UPDATE resets SET mailed_at = now() WHERE token = $1`, mail.Token)
		return err
	})
}

func newMailer(pool *pgxpool.Pool, brokers []string, topic string, handler inbox.Handler) (*inboxkafka.Consumer, error) {
	return inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers:   brokers,
		Consumer:  topic + ".mailer",
		Topics:    []string{topic},
		BatchSize: 10, // one transaction is open while so many mails are sent
	}, pool, handler)
}
