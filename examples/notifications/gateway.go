package main

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

const tables = `
CREATE TABLE mailbox (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person text NOT NULL, id text NOT NULL, body text NOT NULL);
CREATE INDEX ON mailbox (person, seq)`

// Notification has the id of its event, from the service's transaction to the device.
type Notification struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// notify is for any service, in the transaction of what it tells of. The person is
// the key: notifications arrive in the order in which they were written.
func notify(ctx context.Context, tx pgx.Tx, topic, person, text string) error {
	return outbox.Add(ctx, tx, outbox.Event{Topic: topic, Key: person, Type: "notification", Payload: []byte(text)})
}

// newMailbox keeps notifications until their device has confirmed them. A device
// that is offline keeps nobody waiting.
func newMailbox(pool *pgxpool.Pool, brokers []string, topic string) (*inboxkafka.Consumer, error) {
	return inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers:  brokers,
		Consumer: "mailbox",
		GroupID:  topic + ".mailbox", // defaults to Consumer; each run of this example has a topic and a group of its own
		Topics:   []string{topic},
	}, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		_, err := tx.Exec(ctx, `INSERT INTO mailbox (person, id, body) VALUES ($1, $2, $3)`, string(m.Key), m.ID, string(m.Value))
		return err
	})
}

// newGateway is what devices ask. Who may ask for whom is for your authentication.
func newGateway(pool *pgxpool.Pool) http.Handler {
	g := &gateway{pool: pool}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mailbox/{person}", g.waiting)
	mux.HandleFunc("POST /mailbox/{person}/confirmed", g.confirmed)
	return mux
}

type gateway struct{ pool *pgxpool.Pool }

// waiting answers with what is not confirmed yet, the oldest first. It may have been
// given out before: only the device knows whether it arrived.
func (g *gateway) waiting(w http.ResponseWriter, r *http.Request) {
	rows, _ := g.pool.Query(r.Context(), `SELECT id, body FROM mailbox WHERE person = $1 ORDER BY seq LIMIT 100`, r.PathValue("person"))
	page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Notification])
	if err != nil {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	answer, err := json.Marshal(page)
	if err != nil {
		http.Error(w, "not now", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer) //nolint:errcheck // the device asks again
}

// confirmed forgets what the device has kept. To be told twice does no harm.
func (g *gateway) confirmed(w http.ResponseWriter, r *http.Request) {
	var ids []string
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 100_000)).Decode(&ids); err != nil {
		http.Error(w, "a list of ids is wanted", http.StatusBadRequest)
		return
	}
	if _, err := g.pool.Exec(r.Context(), `DELETE FROM mailbox WHERE person = $1 AND id = ANY ($2)`, r.PathValue("person"), ids); err != nil {
		http.Error(w, "not now", http.StatusServiceUnavailable)
	}
}
