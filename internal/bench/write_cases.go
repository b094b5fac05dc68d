package bench

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/outbox"
)

const ordersTable = `CREATE TABLE public.orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, cents bigint NOT NULL)`

// writeCase is one way to write. Each transaction has the business row; against
// names the case that differs in nothing but what is asked about.
type writeCase struct {
	name    string
	against string
	writes  bool // an event
	work    func(ctx context.Context, w *writing, n int) error
}

var writeCases = []writeCase{
	{"none", "", false, inTransaction(nothingMore)},
	{"SELECT 1", "none", false, inTransaction(selectOne)},
	{"sequential", "SELECT 1", true, inTransaction(addEvent)},
	{"pipelined", "none", true, pipelined},
	{"sql", "SELECT 1", true, inTransaction(addBySQL)},
}

const insertOrder = `INSERT INTO public.orders (customer, cents) VALUES ($1, $2)`

// inTransaction writes the business row and then does something more.
func inTransaction(more func(ctx context.Context, w *writing, tx pgx.Tx, n int) error) func(context.Context, *writing, int) error {
	return func(ctx context.Context, w *writing, n int) error {
		return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, insertOrder, Key(n), n); err != nil {
				return err
			}
			return more(ctx, w, tx, n)
		})
	}
}

func nothingMore(context.Context, *writing, pgx.Tx, int) error { return nil }

// selectOne is the control of a round trip. With its parameter it is prepared
// once, as all the others are; without one pgx would have it parsed each time.
func selectOne(ctx context.Context, _ *writing, tx pgx.Tx, _ int) error {
	_, err := tx.Exec(ctx, `SELECT $1::integer`, 1)
	return err
}

func addEvent(ctx context.Context, w *writing, tx pgx.Tx, n int) error {
	return outbox.Add(ctx, tx, w.event(n))
}

func addBySQL(ctx context.Context, w *writing, tx pgx.Tx, n int) error {
	_, err := tx.Exec(ctx, `SELECT tandem.add($1, $2::bytea, $3, type => $4)`, w.topic, Payload(n, w.Payload), Key(n), eventType)
	return err
}

// pipelined sends the event's statement with that of the business row.
func pipelined(ctx context.Context, w *writing, n int) error {
	return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(insertOrder, Key(n), n)
		if err := outbox.Queue(ctx, batch, w.event(n)); err != nil {
			return err
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

const eventType = "order.placed"

func (w *writing) event(n int) outbox.Event { return eventOf(w.topic, n, w.Payload) }

func eventOf(topic string, n, size int) outbox.Event {
	return outbox.Event{Topic: topic, Key: Key(n), Type: eventType, Payload: Payload(n, size)}
}
