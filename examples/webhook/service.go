package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/outbox"
)

const tables = `
CREATE TABLE invoices (id text PRIMARY KEY, cents bigint NOT NULL, paid bigint NOT NULL DEFAULT 0);
CREATE TABLE payments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, invoice text NOT NULL, cents bigint NOT NULL)`

// Paid is the provider's message: somebody has paid an invoice.
type Paid struct {
	Invoice string `json:"invoice"`
	Cents   int64  `json:"cents"`
}

type webhooks struct{ topic string }

// newWebhooks is the service's endpoint for the provider.
func newWebhooks(pool *pgxpool.Pool, secret []byte, topic string) (http.Handler, error) {
	once, err := inboxhttp.New(inboxhttp.Config{
		Consumer: "webhooks",
		Scope:    inboxhttp.OneClient, // the provider; of several each has a scope of its own
		// The provider waits for half a minute, so the service may too.
		BeginTimeout: 30 * time.Second,
		LockTimeout:  30 * time.Second,
	}, pool)
	if err != nil {
		return nil, err
	}
	h := &webhooks{topic: topic}
	return signed(secret, once.Handle(h.paid)), nil
}

// paid books a payment. What it does with tx, its answer and the message's id are
// committed together. An answer below 500 is kept and given to every repetition, so
// one of 4xx is for what will never be otherwise; 5xx is for what may pass.
func (h *webhooks) paid(w http.ResponseWriter, r *http.Request, tx pgx.Tx) {
	var message Paid
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		http.Error(w, "not a message of ours", http.StatusBadRequest)
		return
	}
	var cents int64
	err := tx.QueryRow(r.Context(), `UPDATE invoices SET paid = paid + $2 WHERE id = $1 RETURNING cents`, message.Invoice, message.Cents).Scan(&cents)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		http.Error(w, "no such invoice yet", http.StatusServiceUnavailable) // the provider may be faster than we are
		return
	case err != nil:
		http.Error(w, "not now", http.StatusInternalServerError)
		return
	case message.Cents != cents:
		http.Error(w, "the invoice is over another amount", http.StatusUnprocessableEntity)
		return
	}
	payment, err := h.book(r, tx, message)
	if err != nil {
		http.Error(w, "not now", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"payment": %d}`, payment)
}

func (h *webhooks) book(r *http.Request, tx pgx.Tx, message Paid) (payment int64, err error) {
	body, err := json.Marshal(message)
	if err != nil {
		return 0, err
	}
	err = tx.QueryRow(r.Context(), `INSERT INTO payments (invoice, cents) VALUES ($1, $2) RETURNING id`, message.Invoice, message.Cents).Scan(&payment)
	if err != nil {
		return 0, err
	}
	return payment, outbox.Add(r.Context(), tx, outbox.Event{Topic: h.topic, Key: message.Invoice, Type: "invoice.paid", Payload: body})
}
