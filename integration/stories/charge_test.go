package stories_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/admin"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// chargeTables are a shop's and its billing's. No constraint keeps an order from
// being charged twice: that is what the story is about.
const chargeTables = `
CREATE TABLE public.shops (topic text PRIMARY KEY, mended boolean NOT NULL DEFAULT false);
CREATE TABLE public.accounts (topic text, account text, last integer NOT NULL, PRIMARY KEY (topic, account));
CREATE TABLE public.orders (topic text, id text, account text, seq integer, amount integer, PRIMARY KEY (topic, id));
CREATE TABLE public.balances (topic text, account text, balance integer NOT NULL, PRIMARY KEY (topic, account));
CREATE TABLE public.charges (applied bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text, order_id text, account text, seq integer, amount integer);
CREATE INDEX ON public.charges (topic, order_id)`

// placed is an order, and the event that says so.
type placed struct {
	ID, Account string
	Seq, Amount int
	Fails       int  // so many attempts to charge it
	Poison      bool // it cannot be charged until the shop is mended
}

// charge is the consumer: it charges an order, and says so.
func charge(o childOrder) inbox.Handler {
	return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		var p placed
		if err := json.Unmarshal(m.Value, &p); err != nil {
			return err
		}
		// The account's row is locked first, so charges of an account are numbered
		// in the order of their commits.
		_, err := tx.Exec(ctx, `INSERT INTO public.balances VALUES ($1, $2, $3)
			ON CONFLICT (topic, account) DO UPDATE SET balance = balances.balance + excluded.balance`, o.Topic, p.Account, p.Amount)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO public.charges (topic, order_id, account, seq, amount) VALUES ($1, $2, $3, $4, $5)`,
			o.Topic, p.ID, p.Account, p.Seq, p.Amount)
		if err != nil {
			return err
		}
		var mended bool
		if err := tx.QueryRow(ctx, `SELECT mended FROM public.shops WHERE topic = $1`, o.Topic).Scan(&mended); err != nil {
			return err
		}
		if m.Attempt <= p.Fails || p.Poison && !mended {
			return errors.New("the bank is away")
		}
		return outbox.Add(ctx, tx, outbox.Event{Topic: o.AddTo, Key: p.Account, Payload: []byte(p.ID)})
	}
}

// shop is the one of a seed.
type shop struct {
	story
	random *rand.Rand
	placed int
}

// place writes orders, each with its event in its transaction. Some are rolled
// back, and must never be charged.
func (s *shop) place(t *testing.T, orders ...placed) {
	t.Helper()
	for _, p := range orders {
		s.placed++
		p.ID, p.Amount = fmt.Sprint("order-", s.placed), 1+s.random.IntN(100)
		p.Account = fmt.Sprint("account-", s.random.IntN(3))
		commit := p.Fails > 0 || p.Poison || s.random.IntN(8) > 0
		require.NoError(t, s.placeOne(t.Context(), p, commit))
	}
}

var errRolledBack = errors.New("the customer has changed his mind")

func (s *shop) placeOne(ctx context.Context, p placed, commit bool) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `INSERT INTO public.accounts VALUES ($1, $2, 1)
			ON CONFLICT (topic, account) DO UPDATE SET last = accounts.last + 1 RETURNING last`, s.order.Topic, p.Account).Scan(&p.Seq)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO public.orders VALUES ($1, $2, $3, $4, $5)`, s.order.Topic, p.ID, p.Account, p.Seq, p.Amount); err != nil {
			return err
		}
		payload, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if err := outbox.Add(ctx, tx, outbox.Event{Topic: s.order.Topic, Key: p.Account, Payload: payload}); err != nil {
			return err
		}
		if !commit {
			return errRolledBack
		}
		return nil
	})
	if errors.Is(err, errRolledBack) {
		return nil
	}
	return err
}

func (s *shop) orders() int {
	return s.count(`SELECT count(*) FROM public.orders WHERE topic = $1`, s.order.Topic)
}

func (s *shop) aside(state string) int {
	return s.count(`SELECT count(*) FROM tandem.inbox_aside WHERE consumer = $1 AND state LIKE $2`, s.order.Consumer, state)
}

// settledSQL yields how many orders are neither charged nor set aside, how many
// keys wait for anything but an operator, and how many messages are set aside; in
// one statement, as all of them change. A message that comes again while its key is
// held is set aside too, though its order is charged.
const settledSQL = `
WITH aside AS MATERIALIZED (SELECT aside, lane, state, convert_from(value, 'UTF8')::json ->> 'ID' AS id FROM tandem.inbox_aside WHERE consumer = $2)
SELECT (SELECT count(*) FROM public.orders AS o WHERE topic = $1 AND id NOT IN (SELECT id FROM aside)
        AND NOT EXISTS (SELECT FROM public.charges AS c WHERE c.topic = o.topic AND c.order_id = o.id)),
    (SELECT count(*) FROM (SELECT DISTINCT ON (lane) state FROM aside ORDER BY lane, aside) AS heads WHERE state <> 'parked'),
    (SELECT count(*) FROM aside)`

// settled tells that every order is charged but those that are parked, or held
// behind one; allCharged, that there are none of these either.
func (s *shop) settled() bool {
	pending, waiting, _, err := s.progress()
	return err == nil && pending == 0 && waiting == 0
}

func (s *shop) allCharged() bool {
	pending, _, aside, err := s.progress()
	return err == nil && pending == 0 && aside == 0
}

func (s *shop) progress() (pending, waiting, aside int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err = s.pool.QueryRow(ctx, settledSQL, s.order.Topic, s.order.Consumer).Scan(&pending, &waiting, &aside)
	return pending, waiting, aside, err
}

// mend ends what keeps orders from being charged, and has those that are parked
// tried again.
func (s *shop) mend(t *testing.T) {
	t.Helper()
	require.Equal(t, 1, s.aside("parked"), "orders that are parked")
	_, err := s.pool.Exec(t.Context(), `UPDATE public.shops SET mended = true WHERE topic = $1`, s.order.Topic)
	require.NoError(t, err)
	operator, err := admin.New(s.pool, "")
	require.NoError(t, err)
	_, err = operator.Redrive(t.Context(), admin.Selector{Consumers: []string{s.order.Consumer}}, "the test")
	require.NoError(t, err)
}

func TestNoOrderIsChargedTwice(t *testing.T) {
	w := newWorld(t, chargeTables)
	forEachSeed(t, w.chargeStory)
	w.met.check(t, steps)
}

func (w *world) chargeStory(t *testing.T, seed int) {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	topic := testservers.Topic(t, partitions)
	s := &shop{random: random, story: story{world: w, order: childOrder{
		Brokers: w.brokers, Consumer: topic, Topic: topic, Handler: "charge", AddTo: testservers.Topic(t, 1),
	}}}
	_, err := w.pool.Exec(t.Context(), `INSERT INTO public.shops VALUES ($1)`, topic)
	require.NoError(t, err)
	ordinary := make([]placed, 4)

	s.place(t, ordinary...)
	s.place(t, placed{Fails: 1}, placed{Poison: true}, placed{Fails: 2}, placed{}, placed{})
	s.suffer(t, targeted(seed, steps), s.settled)
	s.place(t, ordinary...)
	s.place(t, placed{Fails: 1})
	s.suffer(t, anywhere(random, 80, kill, freeze, join), s.settled)
	s.place(t, ordinary...)
	s.finish(t, s.settled)
	s.mend(t)
	if random.IntN(2) == 0 {
		s.suffer(t, anywhere(random, 60, kill), s.allCharged)
	}
	s.finish(t, func() bool { return s.allCharged() && w.caughtUp(topic, topic, s.orders()) })
	s.audit(t)
}

// audit checks the books.
func (s *shop) audit(t *testing.T) {
	t.Helper()
	topic := s.order.Topic
	orders := s.orders()
	require.Positive(t, orders)
	require.Equal(t, orders, s.count(`SELECT count(*) FROM public.charges WHERE topic = $1`, topic), "charges of so many orders")
	require.Equal(t, orders, s.count(`SELECT count(*) FROM public.orders JOIN public.charges USING (topic, account, seq, amount) WHERE topic = $1 AND id = order_id`, topic))
	require.Zero(t, s.count(`SELECT count(*) FROM public.balances AS b WHERE topic = $1 AND balance <>
		(SELECT sum(amount) FROM public.orders AS o WHERE o.topic = b.topic AND o.account = b.account)`, topic), "balances that are not the sum of their orders")
	require.Empty(t, s.backwards(t), "charges out of their account's order: account, and numbers of its orders as they were charged")
	require.Zero(t, s.aside("%"), "messages that are set aside")
	require.True(t, s.caughtUp(topic, topic, orders), "the offsets are committed")
	require.Equal(t, orders, s.count(`SELECT count(*) FROM tandem.log WHERE topic = $1`, s.order.AddTo), "events of so many charges")

	ids := map[string]string{} // of the event that says that an order was charged
	s.records(t, s.order.AddTo, func(r *kgo.Record) bool {
		for _, h := range r.Headers {
			if h.Key != "ce_id" {
				continue
			}
			if id, again := ids[string(r.Value)]; again {
				require.Equal(t, id, string(h.Value), "another event says that %s is charged", r.Value)
			}
			ids[string(r.Value)] = string(h.Value)
		}
		return len(ids) == orders
	})
}

// backwards returns the accounts whose orders were charged in another order than
// they were placed in, and that order.
func (s *shop) backwards(t *testing.T) (accounts []string) {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT account || ' ' || string_agg(seq::text, ' ' ORDER BY applied) FROM public.charges WHERE topic = $1
		GROUP BY account HAVING array_agg(seq ORDER BY applied) <> array_agg(seq ORDER BY seq)`, s.order.Topic)
	require.NoError(t, err)
	accounts, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return accounts
}
