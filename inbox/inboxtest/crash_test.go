package inboxtest_test

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxtest"
	"github.com/tandem-outbox/tandem/internal/testfailure"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxtest"
)

// crash is one of charge, for the handler to be replaced.
func (w *world) crash() inboxtest.Crash {
	return inboxtest.Crash{
		Pool: w.pool, Handler: charge, Messages: []inbox.Message{order("o-1")},
		Reset:   func() { w.exec(`TRUNCATE public.charges`) },
		Effects: func() any { return w.charged() },
	}
}

func TestHandlersThatAreRight(t *testing.T) {
	t.Parallel()
	t.Run("one message", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		inboxtest.RequireExactlyOnce(t, w.crash())
	})
	t.Run("several, one twice, one skipped", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := w.crash()
		a := order("a")
		c.Messages = []inbox.Message{a, order("b"), a, order("c")}
		c.Handler = func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			if string(m.Key) == "b" {
				return inbox.Skip("not of interest")
			}
			return charge(ctx, tx, m)
		}
		inboxtest.RequireExactlyOnce(t, c)
		require.Equal(t, []string{"a", "c"}, w.charged())
	})
	t.Run("a batch", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := w.crash()
		c.Messages = append(c.Messages, order("o-2"))
		c.Handler, c.BatchHandler = nil, func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
			for _, m := range batch {
				if err := charge(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		}
		inboxtest.RequireExactlyOnce(t, c)
	})
	t.Run("database/sql", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := w.crash()
		c.Handler, c.SQLHandler = nil, chargeSQL
		inboxtest.RequireExactlyOnce(t, c)
	})
	t.Run("consume, effects, produce", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		c := w.crash()
		c.Handler = func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			if err := charge(ctx, tx, m); err != nil {
				return err
			}
			return outbox.Add(ctx, tx, outbox.Event{Topic: "charges", Key: string(m.Key)})
		}
		log := outboxtest.Watch(t, w.url)
		c.Reset = func() {
			w.exec(`TRUNCATE public.charges`)
			log.Added(t)
		}
		events := 0
		reset := c.Reset
		c.Reset = func() { reset(); events = 0 }
		c.Effects = func() any {
			events += len(log.Added(t))
			return []any{w.charged(), events}
		}
		inboxtest.RequireExactlyOnce(t, c)
	})
}

// A webhook that asks the inbox itself is right, and one that does not ask is found:
// a client that has no answer repeats the request.
func TestWorkWithoutARunner(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{true, false} {
		w := newWorld(t)
		id, reset := "", w.crash().Reset
		c := inboxtest.Crash{
			Pool: w.pool, Effects: w.crash().Effects,
			Reset: func() { reset(); id = outbox.NewID() },
			Do: func(ctx context.Context, pool *pgxpool.Pool) error {
				return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					if asks {
						if first, err := inbox.Once(ctx, tx, "webhook", id); err != nil || !first {
							return err
						}
					}
					return charge(ctx, tx, order("o-1"))
				})
			},
		}
		said := testfailure.Of(t, func(t testing.TB) { inboxtest.RequireExactlyOnce(t, c) })
		if asks {
			require.Empty(t, said)
		} else {
			require.Contains(t, said, "the messages were delivered a second time, and nothing else happened\n  effects: [o-1 o-1]")
		}
	}
}

// Each of them is wrong in a way of its own, and is found; the failure says at which
// step.
func TestHandlersThatAreWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		handler func(w *world, state *int) inbox.Handler
		said    string // as a pattern
	}{
		{"writes by another connection", func(w *world, _ *int) inbox.Handler {
			return func(ctx context.Context, _ pgx.Tx, m inbox.Message) error {
				_, err := w.pool.Exec(ctx, `INSERT INTO public.charges (order_id) VALUES ($1)`, string(m.Key))
				return err
			}
		}, `the connection broke at step \d+: the client's "commit" did not reach the server; then the messages were delivered again\n  effects: \[\[o-1 o-1\] 0\]\n  without the disturbance: \[\[o-1\] 0\]`},
		{"calls another service at its end", func(_ *world, calls *int) inbox.Handler {
			return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				if err := charge(ctx, tx, m); err != nil {
					return err
				}
				*calls++
				return nil
			}
		}, `the client's "commit" did not reach the server.*\n  effects: \[\[o-1\] 2\]`},
		{"calls another service at its beginning", func(_ *world, calls *int) inbox.Handler {
			return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				*calls++
				return charge(ctx, tx, m)
			}
		}, `step \d+: the client's wish to prepare "INSERT INTO public.charges .*did not reach the server.*\n  effects: \[\[o-1\] 2\]`},
		{"remembers in the process", func(_ *world, seen *int) inbox.Handler {
			return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				if *seen > 0 {
					return nil
				}
				*seen++
				return charge(ctx, tx, m)
			}
		}, `step \d+: the client's wish to prepare "INSERT.*effects: \[\[\] 1\]\n  without the disturbance: \[\[o-1\] 1\]`},
		{"fails when it is called again", func(_ *world, calls *int) inbox.Handler {
			return func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				if *calls++; *calls > 1 {
					return errors.New("unexpected call")
				}
				return charge(ctx, tx, m)
			}
		}, `in a delivery after the connection broke at step \d+: .*message 1 of 1 was not handled but failed \(handler\): unexpected call`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			state := 0
			crash := w.crash()
			crash.Handler = c.handler(w, &state)
			crash.Reset = func() {
				w.exec(`TRUNCATE public.charges`)
				state = 0
			}
			crash.Effects = func() any { return []any{w.charged(), state} }
			said := testfailure.Of(t, func(t testing.TB) { inboxtest.RequireExactlyOnce(t, crash) })
			require.Regexp(t, regexp.MustCompile(`(?s)`+c.said), said)
			t.Log(said)
		})
	}
}

// A test that could not fail fails.
func TestCrashesThatProveNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *world, c *inboxtest.Crash)
		said   string
	}{
		"no effects":    {func(_ *world, c *inboxtest.Crash) { c.Effects = func() any { return "nothing" } }, `no effects that Effects sees: it is "nothing", with a delivery and without`},
		"Reset forgets": {func(_ *world, c *inboxtest.Crash) { c.Reset = func() {} }, "Reset does not bring back what Effects looks at"},
		"Reset forgets what is remembered": {func(_ *world, c *inboxtest.Crash) {
			seen := false
			c.Handler = func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				if seen {
					return nil
				}
				seen = true
				return charge(ctx, tx, m)
			}
		}, "two deliveries that nothing disturbed differ"},
		"times": {func(w *world, c *inboxtest.Crash) {
			c.Effects = func() any { return len(w.charged()) * time.Now().Nanosecond() }
		}, "two deliveries that nothing disturbed differ"},
		"a handler fails": {func(_ *world, c *inboxtest.Crash) {
			c.Handler = func(context.Context, pgx.Tx, inbox.Message) error { return errors.New("broken") }
		}, "was not handled but failed (handler): broken"},
		"a parked message": {func(_ *world, c *inboxtest.Crash) { c.Messages = []inbox.Message{inboxtest.Late(c.Messages[0])} }, "was not handled but parked (unprovable)"},
		"no messages":      {func(_ *world, c *inboxtest.Crash) { c.Messages = nil }, "Crash needs"},
		"two handlers":     {func(_ *world, c *inboxtest.Crash) { c.SQLHandler = chargeSQL }, "Crash needs"},
		"an ended transaction": {func(_ *world, c *inboxtest.Crash) {
			c.Handler = func(ctx context.Context, tx pgx.Tx, _ inbox.Message) error {
				_, err := tx.Exec(ctx, "ROLLBACK")
				return err
			}
		}, "the handler ended the batch's transaction itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			crash := w.crash()
			c.change(w, &crash)
			require.Contains(t, testfailure.Of(t, func(t testing.TB) { inboxtest.RequireExactlyOnce(t, crash) }), c.said)
		})
	}
}
