package inboxtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxtest"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// world is a database with charges.
type world struct {
	*testing.T
	url  string
	pool *pgxpool.Pool
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, url: testservers.Migrated(t)}
	pool, err := pgxpool.New(t.Context(), w.url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w.pool = pool
	w.exec(`CREATE TABLE public.charges (n bigint GENERATED ALWAYS AS IDENTITY, order_id text)`)
	return w
}

func (w *world) exec(statement string) {
	w.Helper()
	_, err := w.pool.Exec(w.Context(), statement)
	require.NoError(w, err)
}

// charged lists the orders that were charged.
func (w *world) charged() (orders []string) {
	w.Helper()
	require.NoError(w, w.pool.QueryRow(w.Context(), `SELECT array_agg(order_id ORDER BY n) FROM public.charges`).Scan(&orders))
	return orders
}

func charge(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	_, err := tx.Exec(ctx, `INSERT INTO public.charges (order_id) VALUES ($1)`, string(m.Key))
	return err
}

// order is the message that an order was placed.
func order(id string) inbox.Message {
	return inboxtest.FromEvent(outbox.Event{Topic: "orders", Key: id, Type: "order.placed", Payload: []byte(`{"cents": 100}`)})
}
