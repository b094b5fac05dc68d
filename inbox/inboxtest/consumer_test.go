package inboxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxtest"
	"github.com/tandem-outbox/tandem/internal/testfailure"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxtest"
)

func states(outcomes []inboxtest.Outcome) (out []inboxtest.State) {
	for _, o := range outcomes {
		out = append(out, o.State)
	}
	return out
}

func TestOnceTwiceLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	consumer := inboxtest.NewConsumer(w.pool, "billing", charge)
	m := order("o-1")
	require.Equal(t, inboxtest.Outcome{State: inboxtest.Handled}, consumer.Deliver(t, m))
	require.Equal(t, inboxtest.Outcome{State: inboxtest.Duplicate}, consumer.Deliver(t, m))
	require.Equal(t, inboxtest.Duplicate, inboxtest.NewConsumer(w.pool, "billing", charge).Deliver(t, m).State, "another process of the service")

	late := consumer.Deliver(t, inboxtest.Late(m))
	require.Equal(t, inboxtest.Parked, late.State)
	require.Equal(t, "unprovable", late.Reason)
	require.ErrorIs(t, late.Err, inbox.ErrTooOld)
	require.Contains(t, late.String(), "parked (unprovable): inbox: ")
	require.Equal(t, []string{"o-1"}, w.charged())

	require.Equal(t, inboxtest.Handled, inboxtest.NewConsumer(w.pool, "bookkeeping", charge).Deliver(t, m).State)
	require.Equal(t, []string{"o-1", "o-1"}, w.charged())
}

func TestBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c, d := order("a"), order("b"), order("c"), order("b")
	fails := true
	consumer := inboxtest.NewConsumer(w.pool, "billing", func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := charge(ctx, tx, m); err != nil || string(m.Key) != "b" || !fails {
			return err
		}
		return errors.New("no money")
	})
	outcomes := consumer.DeliverBatch(t, c, a, b, a, d, inboxtest.Late(order("e")))
	require.Equal(t, []inboxtest.State{
		inboxtest.Handled, inboxtest.Handled, inboxtest.Failed, inboxtest.Duplicate, inboxtest.Held, inboxtest.Parked,
	}, states(outcomes))
	require.EqualError(t, outcomes[2].Err, "no money")
	require.Equal(t, "handler", outcomes[2].Reason)
	require.Equal(t, []string{"c", "a"}, w.charged(), "in the order in which they came; nothing of what failed")
	fails = false
	require.Equal(t, []inboxtest.State{inboxtest.Handled, inboxtest.Handled, inboxtest.Duplicate}, states(consumer.DeliverBatch(t, d, b, c)))
	require.Empty(t, consumer.DeliverBatch(t))
}

func TestWhatAHandlerAsksFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cause := errors.New("cause")
	for name, c := range map[string]struct {
		handler inbox.Handler
		want    inboxtest.Outcome
	}{
		"retry":   {func(context.Context, pgx.Tx, inbox.Message) error { return inbox.RetryAfter(time.Minute, cause) }, inboxtest.Outcome{State: inboxtest.Failed, Reason: "handler", RetryAfter: time.Minute}},
		"park":    {func(context.Context, pgx.Tx, inbox.Message) error { return inbox.ParkAs("odd", cause) }, inboxtest.Outcome{State: inboxtest.Parked, Reason: "odd"}},
		"skip":    {func(context.Context, pgx.Tx, inbox.Message) error { return inbox.Skip("cause") }, inboxtest.Outcome{State: inboxtest.Skipped, Reason: "handler"}},
		"stop":    {func(context.Context, pgx.Tx, inbox.Message) error { return inbox.Stop(cause) }, inboxtest.Outcome{State: inboxtest.Stopped}},
		"panic":   {func(context.Context, pgx.Tx, inbox.Message) error { panic(cause) }, inboxtest.Outcome{State: inboxtest.Failed, Reason: "panic"}},
		"decode":  {inbox.Typed(inbox.JSON[int](), func(context.Context, pgx.Tx, inbox.Message, int) error { return nil }), inboxtest.Outcome{State: inboxtest.Parked, Reason: "undecodable"}},
		"unknown": {inbox.NewRouter().Handler(), inboxtest.Outcome{State: inboxtest.Parked, Reason: "unknown type"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := order(name)
			consumer := inboxtest.NewConsumer(w.pool, name, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				require.NoError(t, charge(ctx, tx, m))
				return c.handler(ctx, tx, m)
			})
			got := consumer.Deliver(t, m)
			require.Error(t, got.Err)
			require.ErrorContains(t, got.Err, map[bool]string{true: "cause"}[name != "decode" && name != "unknown"])
			got.Err = nil
			require.Equal(t, c.want, got)
			again := consumer.Deliver(t, m).State
			if name == "skip" {
				require.Equal(t, inboxtest.Duplicate, again)
			} else {
				require.Equal(t, c.want.State, again, "nothing was kept")
			}
		})
	}
	require.Empty(t, w.charged())
	require.Equal(t, []inboxtest.State{inboxtest.Handled, inboxtest.Stopped, inboxtest.Stopped},
		states(inboxtest.NewConsumer(w.pool, "stops", func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			if string(m.Key) == "b" {
				return inbox.Stop(cause)
			}
			return charge(ctx, tx, m)
		}).DeliverBatch(t, order("a"), order("b"), order("c"))))
	require.Equal(t, []string{"a"}, w.charged())
}

func TestMessagesThatARunnerParks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	consumer := inboxtest.NewConsumer(w.pool, "billing", charge)
	tombstone := inboxtest.FromEvent(outbox.Event{Topic: "orders", Tombstone: true})
	unnamed := inbox.Message{Topic: "orders", Value: []byte("x")}
	long := unnamed
	long.ID = string(make([]byte, 2000))
	malformed := order("o-1")
	malformed.Headers = append(malformed.Headers, inbox.Header{Name: "ce_id", Value: []byte("another")})
	var reasons []string
	for _, o := range consumer.DeliverBatch(t, tombstone, unnamed, long, malformed) {
		require.Equal(t, inboxtest.Parked, o.State)
		reasons = append(reasons, o.Reason)
	}
	require.Equal(t, []string{"tombstone", "missing id", "invalid id", "malformed"}, reasons)
	require.Empty(t, w.charged())
}

// A batch handler that names the message, and one that does not.
func TestBatchHandlers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, names := range []bool{true, false} {
		consumer := inboxtest.NewBatchConsumer(w.pool, map[bool]string{true: "named", false: "unnamed"}[names],
			func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
				for i, m := range batch {
					switch err := charge(ctx, tx, m); {
					case err != nil:
						return err
					case string(m.Key) != "c":
					case names:
						return inbox.FailedAt(i, inbox.Park(errors.New("no")))
					default:
						return inbox.Park(errors.New("no"))
					}
				}
				return nil
			})
		require.Equal(t, []inboxtest.State{inboxtest.Handled, inboxtest.Handled, inboxtest.Parked, inboxtest.Handled, inboxtest.Handled},
			states(consumer.DeliverBatch(t, order("a"), order("b"), order("c"), order("d"), order("e"))))
		require.Equal(t, []string{"a", "b", "d", "e"}, w.charged())
		w.exec(`TRUNCATE public.charges`)
	}
}

func TestHandlersOnDatabaseSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := stdlib.OpenDBFromPool(w.pool)
	defer db.Close()
	consumer := inboxtest.NewSQLConsumer(db, "billing", chargeSQL)
	m := order("o-1")
	require.Equal(t, []inboxtest.State{inboxtest.Handled, inboxtest.Duplicate}, states(consumer.DeliverBatch(t, m, m)))
	require.Equal(t, inboxtest.Duplicate, consumer.Deliver(t, m).State)
	require.Equal(t, []string{"o-1"}, w.charged())
}

func chargeSQL(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO public.charges (order_id) VALUES ($1)`, string(m.Key))
	return err
}

// What a relay publishes arrives as the event that was written; and events of a
// handler tell what they come from.
func TestMessagesOfEventsAndRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	partition := int32(1)
	e := outbox.Event{
		ID: outbox.NewID(), Topic: "orders", Key: "o-1", Payload: []byte(`{}`), Partition: &partition,
		Headers: map[string]string{"content-type": "application/json", "ce_correlationid": "c-1"},
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error { return outbox.Add(t.Context(), tx, e) }))
	records := outboxtest.Drain(t, w.url)
	require.Len(t, records, 1)
	relayed, made := inboxtest.FromRecord(records[0]), inboxtest.FromEvent(e)
	require.Equal(t, e.ID, made.ID)
	require.Equal(t, "orders", made.Type)
	require.Equal(t, "application/json", made.ContentType)
	require.WithinDuration(t, time.Now(), made.Time, time.Hour)
	require.NotEqual(t, made.Offset, inboxtest.FromEvent(e).Offset)
	for _, m := range []*inbox.Message{&relayed, &made} {
		m.Offset, m.Time, m.Sent = 0, time.Time{}, time.Time{}
		for i := range m.Headers {
			if m.Headers[i].Name == "ce_time" {
				m.Headers[i].Value = nil
			}
		}
	}
	require.Equal(t, relayed, made)
	require.NotNil(t, inboxtest.FromEvent(outbox.Event{Topic: "orders"}).Value, "empty, no tombstone")
	require.Nil(t, inboxtest.FromEvent(outbox.Event{Topic: "orders", Tombstone: true}).Value)

	log := outboxtest.Watch(t, w.url)
	consumer := inboxtest.NewConsumer(w.pool, "billing", func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		return outbox.Add(ctx, tx, outbox.Event{Topic: "charges", Key: string(m.Key)})
	})
	require.Equal(t, inboxtest.Handled, consumer.Deliver(t, inboxtest.FromEvent(e)).State)
	log.RequireAdded(t, outbox.Event{Topic: "charges", Key: "o-1", Headers: map[string]string{"ce_causationid": e.ID, "ce_correlationid": "c-1"}})
}

// What no outcome can tell fails the test.
func TestWhatFailsTheTest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ends := inboxtest.NewConsumer(w.pool, "ends", func(ctx context.Context, tx pgx.Tx, _ inbox.Message) error {
		_, err := tx.Exec(ctx, "COMMIT")
		return err
	})
	require.Contains(t, testfailure.Of(t, func(t testing.TB) { ends.Deliver(t, order("o")) }), "the handler ended the batch's transaction itself")
	w.exec(`DROP SCHEMA tandem CASCADE`)
	said := testfailure.Of(t, func(t testing.TB) { inboxtest.NewConsumer(w.pool, "none", charge).Deliver(t, order("o")) })
	require.Contains(t, said, "inboxtest: deliver a batch: ")
	require.Contains(t, said, "tandem.inbox")
}
