package docs_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// The Go code of the pages, which their stories run.

// Order is a row of the service's own table.
type Order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

func placeOrder(ctx context.Context, pool *pgxpool.Pool, o Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO orders (id, cents) VALUES ($1, $2)`, o.ID, o.Cents); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Event{Topic: "orders", Key: o.ID, Type: "order.placed", Payload: body})
	})
}

func placeOrderBatched(ctx context.Context, tx pgx.Tx, o Order, body []byte) error {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO orders (id, cents) VALUES ($1, $2)`, o.ID, o.Cents)
	if err := outbox.Queue(ctx, batch, outbox.Event{Topic: "orders", Key: o.ID, Type: "order.placed", Payload: body}); err != nil {
		return err
	}
	return tx.SendBatch(ctx, batch).Close()
}

func cancelOrder(ctx context.Context, db *sql.DB, id string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `UPDATE orders SET cents = 0 WHERE id = $1`, id); err != nil {
		return err
	}
	if err := outboxsql.Add(ctx, tx, outbox.Event{Topic: "orders", Key: id, Type: "order.cancelled"}); err != nil {
		return err
	}
	return tx.Commit()
}

func moveStock(ctx context.Context, tx pgx.Tx, sku string, n int) error {
	if err := outbox.LockKey(ctx, tx, sku); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO moves (sku, n) VALUES ($1, $2)`, sku, n); err != nil {
		return err
	}
	var left []byte
	if err := tx.QueryRow(ctx, `SELECT json_build_object('left', sum(n)) FROM moves WHERE sku = $1`, sku).Scan(&left); err != nil {
		return err
	}
	return outbox.Add(ctx, tx, outbox.Event{Topic: "stock", Key: sku, Type: "stock.moved", Payload: left})
}

func isOurMistake(err error) bool {
	var invalid *outbox.InvalidEventError // .Index, .Field, .Reason, .Limit
	return errors.As(err, &invalid)
}

func runRelay(ctx context.Context, databaseURL string, brokers []string) error {
	database, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return err
	}
	publisher, err := relaykafka.New(relaykafka.Config{Brokers: brokers, Source: "/tandem/shop"})
	if err != nil {
		return err
	}
	defer publisher.Close()
	return relay.Run(ctx, relay.Config{Database: database, Publisher: publisher}) // until ctx ends
}

func bookPayment(ctx context.Context, pool *pgxpool.Pool, paymentID string, cents int) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		first, err := inbox.Once(ctx, tx, "bookkeeping", paymentID)
		if err != nil || !first {
			return err // not first: it is booked already
		}
		_, err = tx.Exec(ctx, `INSERT INTO bookings (payment_id, cents) VALUES ($1, $2)`, paymentID, cents)
		return err
	})
}

func paymentRoutes(pool *pgxpool.Pool) (http.Handler, error) {
	once, err := inboxhttp.New(inboxhttp.Config{
		Consumer: "payments",
		Scope:    func(r *http.Request) (string, error) { return r.Header.Get("X-Account"), nil }, // set by your authentication
	}, pool)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /payments/{id}", once.Handle(func(w http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		if _, err := tx.Exec(r.Context(), `INSERT INTO bookings (payment_id, cents) VALUES ($1, 100)`, r.PathValue("id")); err != nil {
			http.Error(w, "not now", http.StatusInternalServerError) // nothing is kept
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	return mux, nil
}

func runBilling(ctx context.Context, pool *pgxpool.Pool, brokers []string) error {
	consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers:  brokers,
		Consumer: "billing",
		Topics:   []string{"orders"},
	}, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if m.Type != "order.placed" {
			return nil
		}
		_, err := tx.Exec(ctx, `INSERT INTO charges (order_id) VALUES ($1)`, string(m.Key))
		return err
	})
	if err != nil {
		return err
	}
	return consumer.Run(ctx) // until ctx ends
}

func chargeSQL(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	switch m.Type {
	case "order.placed":
		o, err := inbox.Decode(inbox.JSON[Order](), m)
		if err != nil {
			return err // which parks it
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO charges (order_id) VALUES ($1)`, o.ID)
		return err
	case "order.cancelled":
		return nil
	}
	return inbox.ParkAs("unknown type", fmt.Errorf("nobody handles %q", m.Type))
}

func billingHandler() inbox.Handler {
	router := inbox.NewRouter()
	inbox.On(router, "order.placed", inbox.JSON[Order](), func(ctx context.Context, tx pgx.Tx, m inbox.Message, o Order) error {
		if _, err := tx.Exec(ctx, `INSERT INTO charges (order_id) VALUES ($1)`, o.ID); err != nil {
			return err
		}
		return outbox.Add(ctx, tx, outbox.Event{Topic: "charges", Key: o.ID, Type: "order.charged"})
	})
	router.Handle("order.cancelled", inbox.Ignore)
	return router.Handler()
}
