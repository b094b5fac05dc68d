package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

// Nothing here is UNIQUE but the accounts: it is the inbox that keeps a transaction
// to one charge, and the story would not notice if it did not.
const tables = `
CREATE TABLE accounts (id text PRIMARY KEY, cents bigint NOT NULL);
CREATE TABLE charges (account text NOT NULL, transaction_id text NOT NULL, cents bigint NOT NULL);
CREATE INDEX ON charges (account, transaction_id);
CREATE TABLE ledger (account text NOT NULL, transaction_id text NOT NULL, cents bigint NOT NULL)`

// Charge is what a client asks for. The client makes the transaction id, once for
// each purchase, and sends it again when it does not know what came of it.
type Charge struct {
	Account       string `json:"account"`
	TransactionID string `json:"transaction_id"`
	Cents         int64  `json:"cents"`
}

var (
	errNoFunds = errors.New("the account has not enough money")
	errReused  = errors.New("the transaction id was used for another amount")
)

type payments struct {
	pool  *pgxpool.Pool
	topic string
}

// charge makes a charge once. Record, money and event are one transaction: a client
// that hears nothing may ask again, and is told that the charge is made already.
func (p *payments) charge(ctx context.Context, c Charge) (already bool, err error) {
	body, err := json.Marshal(c)
	if err != nil {
		return false, err
	}
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		first, err := inbox.Once(ctx, tx, "payments", c.Account+"/"+c.TransactionID)
		if err != nil {
			return err
		}
		if !first {
			already = true
			return sameAsBefore(ctx, tx, c)
		}
		paid, err := tx.Exec(ctx, `UPDATE accounts SET cents = cents - $2 WHERE id = $1 AND cents >= $2`, c.Account, c.Cents)
		if err != nil {
			return err
		}
		if paid.RowsAffected() == 0 {
			return errNoFunds // the record is rolled back too: with more money it may be tried again
		}
		if _, err := tx.Exec(ctx, `INSERT INTO charges VALUES ($1, $2, $3)`, c.Account, c.TransactionID, c.Cents); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Event{Topic: p.topic, Key: c.Account, Type: "payment.charged", Payload: body})
	})
	return already, err
}

func sameAsBefore(ctx context.Context, tx pgx.Tx, c Charge) error {
	var cents int64
	if err := tx.QueryRow(ctx, `SELECT cents FROM charges WHERE account = $1 AND transaction_id = $2`, c.Account, c.TransactionID).Scan(&cents); err != nil {
		return err
	}
	if cents != c.Cents {
		return errReused
	}
	return nil
}

// ServeHTTP answers 201 to the first request and 200 to its repetitions. After a 503
// nobody knows whether the charge was made, the service neither: an error of COMMIT
// may be a lost answer. The client finds out by asking again.
func (p *payments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c Charge
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 10_000)).Decode(&c); err != nil || c.Cents <= 0 {
		http.Error(w, "a charge has account, transaction_id and cents", http.StatusBadRequest)
		return
	}
	already, err := p.charge(r.Context(), c)
	switch {
	case errors.Is(err, inbox.ErrInvalid):
		http.Error(w, "the transaction id is empty or too long", http.StatusBadRequest)
	case errors.Is(err, errNoFunds):
		http.Error(w, err.Error(), http.StatusPaymentRequired)
	case errors.Is(err, errReused):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, "try again", http.StatusServiceUnavailable)
	case already:
		w.WriteHeader(http.StatusOK)
	default:
		w.WriteHeader(http.StatusCreated)
	}
}

// newLedger is another service: it books what was charged.
func newLedger(pool *pgxpool.Pool, brokers []string, topic string) (*inboxkafka.Consumer, error) {
	return inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers:  brokers,
		Consumer: "ledger",
		GroupID:  topic + ".ledger", // defaults to Consumer; each run of this example has a topic and a group of its own
		Topics:   []string{topic},
	}, pool, inbox.Typed(inbox.JSON[Charge](), func(ctx context.Context, tx pgx.Tx, _ inbox.Message, c Charge) error {
		_, err := tx.Exec(ctx, `INSERT INTO ledger VALUES ($1, $2, $3)`, c.Account, c.TransactionID, c.Cents)
		return err
	}))
}
