package inboxtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/internal/faultyconn"
)

// Crash is a delivery that is to be disturbed at each of its steps. Pool, Reset,
// Effects, and one of Handler, BatchHandler, SQLHandler and Do must be set.
type Crash struct {
	// Pool is the database. The handler's transactions get connections of their own to
	// it, which break; Pool itself stays whole, for Reset, for Effects, and for what a
	// handler wrongly does with it.
	Pool *pgxpool.Pool

	// Handler is what is tested, or BatchHandler is, or SQLHandler for database/sql.
	Handler      inbox.Handler
	BatchHandler inbox.BatchHandler
	SQLHandler   inboxsql.Handler

	// Messages are delivered to the handler together, in one transaction.
	Messages []inbox.Message

	// Do is what is tested instead, where no runner is in between: a webhook that calls
	// [inbox.Once], say. It does its work by the pool that it is given, commits it, and
	// is called again until it returns nil, as a client would. What it asks Once about
	// has to be new after each Reset.
	Do func(ctx context.Context, pool *pgxpool.Pool) error

	// Reset brings everything that the handler changes back to what it was: empties
	// its tables, sets a counter to 0. It is called before each delivery; the inbox
	// itself is taken care of.
	Reset func()

	// Effects returns what the handler has changed since Reset, of whatever kind; it
	// is compared by reflect.DeepEqual. It should be the same for each delivery, and so
	// without generated ids and times.
	Effects func() any
}

// RequireExactlyOnce fails the test unless the effects of the messages are there
// exactly once whatever happens to the connection. It breaks the connection at the
// first message between the client and Postgres, at the second, and so on through all
// that they say to one another: what the client sends does not arrive, or what the
// server answers does not, the answer to COMMIT included. Each time the messages are
// delivered again until they are done, as a runner does it that was killed there. Then
// the effects have to be those of a delivery that nothing disturbed.
//
// A handler that has effects outside of its transaction is found by that, as far as
// Effects sees them: calls of other services, writes by another connection, what is
// remembered in the process. The failure names the step.
func RequireExactlyOnce(t testing.TB, c Crash) {
	t.Helper()
	r := &crashes{TB: t, Crash: c, name: "inboxtest-" + strings.ToLower(rand.Text())}
	r.check()
	r.undisturbed()
	for r.disturbed(len(r.broke) + 1) {
	}
	t.Logf("inboxtest: the connection broke at each of %d steps", len(r.broke))
}

// crashes is one RequireExactlyOnce.
type crashes struct {
	testing.TB
	Crash
	name  string
	runs  int
	want  any      // the effects of an undisturbed delivery
	broke []string // what was lost at each step
}

func (r *crashes) check() {
	r.Helper()
	handlers := 0
	for _, there := range []bool{r.Handler != nil, r.BatchHandler != nil, r.SQLHandler != nil, r.Do != nil} {
		if there {
			handlers++
		}
	}
	if handlers != 1 || r.Pool == nil || r.Reset == nil || r.Effects == nil || (r.Do == nil) != (len(r.Messages) > 0) {
		r.Fatal("inboxtest: Crash needs Pool, Reset, Effects, and either Do, or Messages and one of Handler, BatchHandler and SQLHandler")
	}
}

// undisturbed learns what the effects are, and sees that they can be told.
func (r *crashes) undisturbed() {
	r.Helper()
	r.Reset()
	before := r.Effects()
	r.want = r.first(before)
	if again := r.first(before); !reflect.DeepEqual(again, r.want) {
		r.Fatalf("inboxtest: two deliveries that nothing disturbed differ: Reset forgets something that the handler changes or remembers, "+
			"or Effects has ids or times in it that are new each time\n  the first: %s\n  the second: %s", shown(r.want), shown(again))
	}
	if reflect.DeepEqual(r.want, before) {
		r.Fatalf("inboxtest: the handler has no effects that Effects sees: it is %s, with a delivery and without; this test could not fail", shown(before))
	}
	r.deliver(r.Pool, r.lastName(), "that repeats another") // by the inbox, nothing of the handler's
	r.compare("the messages were delivered a second time, and nothing else happened")
}

// first delivers the messages for the first time, and returns the effects.
func (r *crashes) first(before any) any {
	r.Helper()
	r.Reset()
	if now := r.Effects(); !reflect.DeepEqual(now, before) {
		r.Fatalf("inboxtest: Reset does not bring back what Effects looks at\n  after the first Reset: %s\n  now: %s", shown(before), shown(now))
	}
	r.deliver(r.Pool, r.newName(), "that nothing disturbs")
	return r.Effects()
}

// disturbed breaks the connection at a step, and returns whether there was such a
// step.
func (r *crashes) disturbed(step int) bool {
	r.Helper()
	line, words := faultyconn.New(faultyconn.Postgres), &vocabulary{}
	pool := r.through(line)
	defer pool.Close()
	if err := pool.Ping(r.Context()); err != nil {
		r.Fatalf("inboxtest: connect to the database: %v", err)
	}
	r.Reset()
	name := r.newName()
	seen, broke := 0, ""
	line.Watch(func(sent bool, message []byte) {
		said := words.describe(sent, message)
		if seen++; seen == step {
			broke = said
		}
	})
	line.Break(step, faultyconn.Lost)
	_, err := r.attempt(pool, name)
	broken := line.Broken()
	line.Watch(nil)
	line.Break(0, faultyconn.Lost)
	if !broken {
		if err != nil {
			r.Fatalf("inboxtest: a delivery that nothing disturbed failed: %v", err)
		}
		r.compare("nothing broke: the delivery was over before this step")
		return false
	}
	r.broke = append(r.broke, broke)
	where := fmt.Sprintf("the connection broke at step %d: %s; then the messages were delivered again", step, broke)
	r.deliver(r.Pool, name, "after "+where)
	r.compare(where)
	return true
}

// through is a pool whose connections break where line says. They are not encrypted:
// the line has to see where a message ends.
func (r *crashes) through(line *faultyconn.Line) *pgxpool.Pool {
	r.Helper()
	config := r.Pool.Config()
	c := config.ConnConfig
	plain := c.TLSConfig == nil
	for _, f := range c.Fallbacks {
		plain = plain || f.TLSConfig == nil
	}
	if !plain {
		r.Fatal("inboxtest: the pool insists on TLS; the connections that are to break cannot be encrypted: use a database that takes sslmode=disable")
	}
	c.TLSConfig, c.Fallbacks = nil, nil
	c.DialFunc = line.Through(c.DialFunc)
	config.MinConns, config.MinIdleConns, config.MaxConns = 0, 0, max(2, config.MaxConns)
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // no steps of its own
	pool, err := pgxpool.NewWithConfig(r.Context(), config)
	if err != nil {
		r.Fatalf("inboxtest: %v", err)
	}
	return pool
}

// newName is a consumer's who has seen nothing.
func (r *crashes) newName() string {
	r.runs++
	return r.lastName()
}

func (r *crashes) lastName() string { return fmt.Sprintf("%s-%d", r.name, r.runs) }

// attempt delivers once; what Do does has no outcome.
func (r *crashes) attempt(pool *pgxpool.Pool, name string) ([]Outcome, error) {
	var consumer *Consumer
	switch {
	case r.Do != nil:
		return nil, r.Do(r.Context(), pool)
	case r.Handler != nil:
		consumer = NewConsumer(pool, name, r.Handler)
	case r.BatchHandler != nil:
		consumer = NewBatchConsumer(pool, name, r.BatchHandler)
	default:
		db := stdlib.OpenDBFromPool(pool)
		defer db.Close()
		consumer = NewSQLConsumer(db, name, r.SQLHandler)
	}
	return consumer.deliver(r.Context(), r.Messages)
}

// triesMax is how often a delivery is repeated that meets the database's errors, which
// is once where a broken connection is still in the pool.
const triesMax = 5

// deliver delivers until everything is done.
func (r *crashes) deliver(pool *pgxpool.Pool, name, which string) {
	r.Helper()
	var outcomes []Outcome
	var err error
	for range triesMax {
		if outcomes, err = r.attempt(pool, name); err == nil {
			break
		}
	}
	if err != nil {
		r.Fatalf("inboxtest: a delivery %s failed: %v", which, err)
	}
	for i, o := range outcomes {
		if o.State != Handled && o.State != Duplicate && o.State != Skipped {
			r.Fatalf("inboxtest: in a delivery %s, message %d of %d was not handled but %v", which, i+1, len(outcomes), o)
		}
	}
}

// compare compares the effects with those that nothing disturbed.
func (r *crashes) compare(where string) {
	r.Helper()
	if effects := r.Effects(); !reflect.DeepEqual(effects, r.want) {
		r.Fatalf("inboxtest: the effects are not there exactly once\n  %s\n  effects: %s\n  without the disturbance: %s\n"+
			"what a handler does beside its transaction is not undone with it, and what it remembers in the process is not committed with it",
			where, shown(effects), shown(r.want))
	}
}

func shown(v any) string {
	if s, is := v.(string); is {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%+v", v)
}
