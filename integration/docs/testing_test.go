package docs_test

import (
	"context"
	"errors"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxtest"
	"github.com/tandem-outbox/tandem/internal/testfailure"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxtest"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/admin"
	"github.com/tandem-outbox/tandem/relay/relaytest"
)

// The tests that docs/testing.md shows, of the service that the other pages have.

// serverURL is a PostgreSQL on which databases may be made.
func serverURL(t *testing.T) string { return testservers.Postgres(t) }

const shopTables = `CREATE TABLE orders (id text PRIMARY KEY, cents integer NOT NULL);
	CREATE TABLE moves (sku text NOT NULL, n integer NOT NULL);
	CREATE TABLE charges (order_id text PRIMARY KEY)`

// newShop makes a database for one test, with Tandem's schema and the shop's tables.
func newShop(t *testing.T) (databaseURL string, pool *pgxpool.Pool) {
	databaseURL = outboxtest.Database(t, serverURL(t))
	pool, err := pgxpool.New(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(t.Context(), shopTables); err != nil { // your own migrations
		t.Fatal(err)
	}
	return databaseURL, pool
}

func TestPlacingAnOrderTellsOfIt(t *testing.T) {
	t.Parallel()
	databaseURL, pool := newShop(t)
	log := outboxtest.Watch(t, databaseURL)
	if err := placeOrder(t.Context(), pool, Order{ID: "o-1", Cents: 100}); err != nil {
		t.Fatal(err)
	}
	log.RequireAdded(t, outbox.Event{
		Topic: "orders", Key: "o-1", Type: "order.placed", Payload: []byte(`{"id": "o-1", "cents": 100}`),
	})
	if err := placeOrder(t.Context(), pool, Order{ID: "o-1", Cents: 200}); err == nil {
		t.Fatal("an order was placed twice")
	}
	log.RequireNoneAdded(t)
}

func TestMovingStockTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	_, pool := newShop(t)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	for range 2 {
		if err := moveStock(t.Context(), tx, "tea", 3); err != nil {
			t.Fatal(err)
		}
	}
	outboxtest.RequireAdded(t, tx,
		outbox.Event{Topic: "stock", Key: "tea", Payload: []byte(`{"left": 3}`)},
		outbox.Event{Topic: "stock", Key: "tea", Payload: []byte(`{"left": 6}`)})
}

func TestOrdersArePublished(t *testing.T) {
	t.Parallel()
	databaseURL, pool := newShop(t)
	for _, id := range []string{"o-1", "o-2"} {
		if err := placeOrder(t.Context(), pool, Order{ID: id, Cents: 100}); err != nil {
			t.Fatal(err)
		}
	}
	records := outboxtest.Drain(t, databaseURL)
	outboxtest.RequirePublished(t, records, outbox.Event{Topic: "orders", Key: "o-1"}, outbox.Event{Topic: "orders", Key: "o-2"})
}

func TestOrdersArePublishedAsTheyCome(t *testing.T) {
	t.Parallel()
	databaseURL, pool := newShop(t)
	running := outboxtest.Relay(t, databaseURL)
	if err := placeOrder(t.Context(), pool, Order{ID: "o-1", Cents: 100}); err != nil {
		t.Fatal(err)
	}
	records := running.Wait(t, 1)
	outboxtest.RequirePublished(t, records, outbox.Event{Topic: "orders", Key: "o-1"})
}

func TestAnOrderThatIsRefusedIsParked(t *testing.T) {
	t.Parallel()
	databaseURL, pool := newShop(t)
	broker := relaytest.NewMemory()
	broker.Refuse(func(e *relay.Event) bool { return string(e.Key) == "o-1" })
	if err := placeOrder(t.Context(), pool, Order{ID: "o-1", Cents: 100}); err != nil {
		t.Fatal(err)
	}
	records := outboxtest.Drain(t, databaseURL, func(c *relay.Config) { c.Publisher = broker })
	outboxtest.RequirePublished(t, records) // nothing
	operator, err := admin.New(pool, "")
	if err != nil {
		t.Fatal(err)
	}
	if set, err := operator.Count(t.Context(), admin.Selector{}); err != nil || set.Parked != 1 {
		t.Fatal(set, err)
	}
}

// placed is the message that an order was placed.
func placed(id string) inbox.Message {
	return inboxtest.FromEvent(outbox.Event{
		Topic: "orders", Key: id, Type: "order.placed", Payload: []byte(`{"id": "` + id + `", "cents": 100}`),
	})
}

func TestBillingChargesOnce(t *testing.T) {
	t.Parallel()
	_, pool := newShop(t)
	billing := inboxtest.NewConsumer(pool, "billing", billingHandler())
	first, second := placed("o-1"), placed("o-2")
	for _, delivery := range []struct {
		message inbox.Message
		want    inboxtest.State
	}{
		{second, inboxtest.Handled},
		{first, inboxtest.Handled}, // out of order
		{first, inboxtest.Duplicate},
		{inboxtest.Late(first), inboxtest.Parked}, // too old to be proved new
	} {
		if got := billing.Deliver(t, delivery.message); got.State != delivery.want {
			t.Errorf("order %s is %v, it must be %s", delivery.message.Key, got, delivery.want)
		}
	}
}

func TestBillingSurvivesEveryStep(t *testing.T) {
	t.Parallel()
	databaseURL, pool := newShop(t)
	log := outboxtest.Watch(t, databaseURL)
	events := 0
	inboxtest.RequireExactlyOnce(t, inboxtest.Crash{
		Pool:     pool,
		Handler:  billingHandler(),
		Messages: []inbox.Message{placed("o-1"), placed("o-2")},
		Reset: func() {
			if _, err := pool.Exec(t.Context(), `TRUNCATE charges`); err != nil {
				t.Fatal(err)
			}
			log.Added(t) // forget what was added before
			events = 0
		},
		Effects: func() any {
			var charges int
			if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM charges`).Scan(&charges); err != nil {
				t.Fatal(err)
			}
			events += len(log.Added(t))
			return [2]int{charges, events}
		},
	})
}

func TestFromTheOrderToTheCharge(t *testing.T) {
	t.Parallel()
	databaseURL, pool := newShop(t)
	if err := placeOrder(t.Context(), pool, Order{ID: "o-1", Cents: 100}); err != nil {
		t.Fatal(err)
	}
	billing := inboxtest.NewConsumer(pool, "billing", billingHandler())
	for _, record := range outboxtest.Drain(t, databaseURL) {
		if got := billing.Deliver(t, inboxtest.FromRecord(record)); got.State != inboxtest.Handled {
			t.Fatal(got)
		}
	}
	outboxtest.RequirePublished(t, outboxtest.Drain(t, databaseURL), outbox.Event{Topic: "charges", Key: "o-1", Type: "order.charged"})
}

// What the page says of a transaction that is not committed.
func TestWhatIsRolledBackIsNotWatched(t *testing.T) {
	t.Parallel()
	databaseURL, pool := newShop(t)
	log := outboxtest.Watch(t, databaseURL)
	changed := errors.New("changed its mind")
	require.ErrorIs(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		require.NoError(t, moveStock(t.Context(), tx, "tea", 3))
		return changed
	}), changed)
	log.RequireNoneAdded(t)
}

// The page's failures are those that there are, but for what differs each time.
func TestFailuresAreAsThePageShowsThem(t *testing.T) {
	t.Parallel()
	var shown []string
	for _, b := range blocksOf(t, "docs/testing.md") {
		if b.language == "text" {
			shown = append(shown, b.text)
		}
	}
	require.Len(t, shown, 2)
	same := func(shown, said string) {
		t.Helper()
		said = regexp.MustCompile(`id [0-9a-f]{8}-[0-9a-f-]*`).ReplaceAllString(said, "id 01a20479-…")
		said = regexp.MustCompile(`at step \d+`).ReplaceAllString(said, "at step 98")
		require.Equal(t, shown, said)
	}

	_, pool := newShop(t)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	require.NoError(t, moveStock(t.Context(), tx, "tea", 3))
	require.NoError(t, moveStock(t.Context(), tx, "tea", 2))
	same(shown[0], testfailure.Of(t, func(t testing.TB) {
		outboxtest.RequireAdded(t, tx,
			outbox.Event{Topic: "stock", Key: "tea", Payload: []byte(`{"left": 3}`)},
			outbox.Event{Topic: "stock", Key: "tea", Payload: []byte(`{"left": 6}`)})
	}))
	require.NoError(t, tx.Rollback(t.Context()))

	mails := 0
	same(shown[1], testfailure.Of(t, func(t testing.TB) {
		inboxtest.RequireExactlyOnce(t, inboxtest.Crash{
			Pool: pool, Messages: []inbox.Message{placed("o-1")},
			Handler: func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				if err := billingHandler()(ctx, tx, m); err != nil {
					return err
				}
				mails++
				return nil
			},
			Reset: func() {
				_, err := pool.Exec(t.Context(), `TRUNCATE charges`)
				require.NoError(t, err)
				mails = 0
			},
			Effects: func() any {
				var charges int
				require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM charges`).Scan(&charges))
				return [2]int{charges, mails}
			},
		})
	}))
}
