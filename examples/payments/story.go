package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
)

const (
	account  = "ada"
	deposit  = 10_000
	cents    = 100
	attempts = 5 // of a client, before it gives up
)

// world is the service, and the two wires that can be cut.
type world struct {
	*servers.Servers

	url    string
	client servers.Wire // between client and service
	line   line         // between service and database
}

func story(ctx context.Context, s *servers.Servers) error {
	w := &world{Servers: s}
	if _, err := s.Pool.Exec(ctx, tables); err != nil {
		return err
	}
	if _, err := s.Pool.Exec(ctx, `INSERT INTO accounts VALUES ($1, $2)`, account, deposit); err != nil {
		return err
	}
	topic, err := s.Topic(ctx, "charges", 3)
	if err != nil {
		return err
	}
	pool, err := s.NewPool(func(c *pgxpool.Config) { c.ConnConfig.AfterNetConnect = w.line.connected })
	if err != nil {
		return err
	}
	defer pool.Close()
	if w.url, err = s.Serve(ctx, w.client.To(&payments{pool: pool, topic: topic})); err != nil {
		return err
	}
	fmt.Printf("%-50s %8s  %7s  %s\n", "what goes wrong", "attempts", "charges", "last answer")
	for _, tell := range []func(context.Context) error{w.nothing, w.answerLost, w.cutBeforeCommit, w.commitUnknown, w.impatient, w.reused} {
		if err := tell(ctx); err != nil {
			return err
		}
	}
	return w.books(ctx, topic)
}

func (w *world) nothing(ctx context.Context) error {
	return w.pay(ctx, "nothing", "t-1")
}

func (w *world) answerLost(ctx context.Context) error {
	w.client.Next(servers.AnswerLost, servers.AnswerLost)
	return w.pay(ctx, "the answer to the client is lost, twice", "t-2")
}

func (w *world) cutBeforeCommit(ctx context.Context) error {
	w.line.cut.Store(beforeCommit)
	return w.pay(ctx, "the database is gone before COMMIT", "t-3")
}

func (w *world) commitUnknown(ctx context.Context) error {
	w.line.cut.Store(afterCommit)
	return w.pay(ctx, "the database's answer to COMMIT is lost", "t-4")
}

// pay is a client that tries until it knows.
func (w *world) pay(ctx context.Context, what, id string) error {
	for attempt := 1; attempt <= attempts; attempt++ {
		if status := w.post(ctx, id, cents); status != 0 && status < 500 {
			return w.row(ctx, what, id, attempt, status)
		}
	}
	return fmt.Errorf("%s: %d attempts, and no answer", what, attempts)
}

// impatient clients send the same thing at once.
func (w *world) impatient(ctx context.Context) error {
	var made sync.Map
	var all sync.WaitGroup
	for range attempts {
		all.Go(func() { made.Store(w.post(ctx, "t-5", cents), true) })
	}
	all.Wait()
	_, created := made.Load(http.StatusCreated)
	_, repeated := made.Load(http.StatusOK)
	if !created || !repeated {
		return fmt.Errorf("of %d clients one should get 201, the others 200", attempts)
	}
	return w.row(ctx, "five clients send it at once", "t-5", attempts, http.StatusOK)
}

// reused is a client's mistake.
func (w *world) reused(ctx context.Context) error {
	status := w.post(ctx, "t-1", 2*cents)
	if status != http.StatusConflict {
		return fmt.Errorf("another amount under an id of before was answered with %d", status)
	}
	return w.row(ctx, "the id of the first, with another amount", "t-1", 1, status)
}

// post returns 0 where the connection was lost.
func (w *world) post(ctx context.Context, id string, cents int64) int {
	body, err := json.Marshal(Charge{Account: account, TransactionID: id, Cents: cents})
	if err != nil {
		return 0
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	request.Close = true // a connection of its own
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

func (w *world) row(ctx context.Context, what, id string, attempts, status int) error {
	if w.line.cut.Load() != nothing {
		return fmt.Errorf("%s: it did not happen", what)
	}
	charges, err := w.Count(ctx, `SELECT count(*) FROM charges WHERE transaction_id = $1`, id)
	if err != nil {
		return err
	}
	fmt.Printf("%-50s %8d  %7d  %d\n", what, attempts, charges, status)
	if charges != 1 {
		return fmt.Errorf("%s: %d charges for transaction %s", what, charges, id)
	}
	return nil
}

// books are what the account has paid, and what the ledger knows of it: with every
// event twice in the topic.
func (w *world) books(ctx context.Context, topic string) error {
	ledger, err := newLedger(w.Pool, w.Brokers, topic)
	if err != nil {
		return err
	}
	w.Relay(ctx, servers.LoseAnswers)
	w.Go(ctx, "ledger", ledger.Run)
	charges, err := w.Count(ctx, `SELECT count(*) FROM charges`)
	if err != nil {
		return err
	}
	if err := servers.CaughtUp(ctx, "the ledger", ledger, 2*charges); err != nil {
		return err
	}
	records, err := w.Records(ctx, topic)
	if err != nil {
		return err
	}
	booked, err := w.Count(ctx, `SELECT count(*) FROM ledger`)
	if err != nil {
		return err
	}
	paid, err := w.Count(ctx, `SELECT $2 - cents FROM accounts WHERE id = $1`, account, deposit)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d charges, %d cents; %d records in Kafka, %d entries in the ledger\n", charges, paid, records, booked)
	if charges != 5 || paid != charges*cents || records != 2*charges || booked != charges {
		return fmt.Errorf("the books are wrong")
	}
	return nil
}
