package inboxkafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// sick fails for messages whose payload begins with "bad", until it is mended.
type sick struct {
	mended   atomic.Bool
	attempts atomic.Int32
	fail     func(m inbox.Message) error
}

var errSick = errors.New("card refused")

func (s *sick) handle(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	if err := effect(ctx, tx, m); err != nil {
		return err
	}
	if s.mended.Load() || !strings.HasPrefix(string(m.Value), "bad") {
		return nil
	}
	s.attempts.Add(1)
	if s.fail != nil {
		return s.fail(m)
	}
	return errSick
}

// A message that fails holds its key and nothing else; it is retried by itself,
// and its key goes on in order.
func TestAFailingMessageHoldsItsKeyAlone(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(inbox.Message) error{
		"error": func(inbox.Message) error { return errSick },
		"panic": func(inbox.Message) error { panic(errSick.Error()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.send(keyed(0, "a", "a1"), keyed(0, "b", "bad b1"), keyed(0, "c", "c1"), keyed(0, "b", "b2"), keyed(0, "a", "a2"), record(0, "keyless"))
			s := &sick{fail: fail}
			config := w.config()
			config.MaxAttempts = 1_000_000
			w.start(config, s.handle)
			w.awaitCommitted(0, 6)
			require.Equal(t, []string{"a1", "c1", "a2", "keyless"}, w.effects())
			require.Equal(t, []string{"retrying bad b1", "held b2"}, testinbox.Strings(t, w.admin, asideSQL))
			w.send(keyed(0, "b", "b3"), keyed(0, "d", "d1"))
			w.awaitEffects(5)
			warned := w.logs.await(t, slog.LevelWarn, 1)[0]
			for _, part := range []string{"message_id=", "topic=orders", "partition=0", "offset=1", "card refused", "consumer=billing"} {
				require.Contains(t, warned, part)
			}
			require.Equal(t, name == "panic", strings.Contains(warned, "failing_test.go"), "a panic has its stack")

			s.mended.Store(true)
			require.Equal(t, []string{"a1", "c1", "a2", "keyless", "d1", "bad b1", "b2", "b3"}, w.awaitEffects(8))
			w.awaitRow(`SELECT count(*) = 0 FROM tandem.inbox_aside`)
			w.send(keyed(0, "b", "b4"))
			w.awaitEffects(9)
			w.awaitCommitted(0, 9)
			require.Empty(t, testinbox.Strings(t, w.admin, asideSQL), "the key is free")
		})
	}
}

func TestAMessageThatKeepsFailingIsParkedAndRedrivenInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.send(keyed(0, "a", "bad a1"), keyed(0, "a", "a2"), keyed(0, "b", "b1"))
	s := &sick{}
	config := w.config()
	config.MaxAttempts = 3
	stop := w.start(config, s.handle)
	w.awaitParked(1)
	w.awaitCommitted(0, 3)
	require.Equal(t, int32(3), s.attempts.Load())
	var attempts int
	var reason, text, hint string
	require.NoError(t, w.admin.QueryRow(t.Context(), `SELECT attempts, reason, error, hint FROM tandem.inbox_aside WHERE state = 'parked'`).Scan(&attempts, &reason, &text, &hint))
	require.Equal(t, []any{3, "handler", errSick.Error()}, []any{attempts, reason, text})
	require.Contains(t, hint, "redrive")

	w.redrive()
	w.awaitRow(`SELECT attempts = 4 AND NOT redrive AND state = 'parked' FROM tandem.inbox_aside ORDER BY aside LIMIT 1`)
	stop()
	w.send(keyed(0, "a", "a3"))
	s.mended.Store(true)
	w.start(config, s.handle)
	w.awaitCommitted(0, 4)
	require.Equal(t, []string{"b1"}, w.effects(), "a restart changes nothing about what is parked")
	w.redrive()
	require.Equal(t, []string{"b1", "bad a1", "a2", "a3"}, w.awaitEffects(4))
	w.awaitRow(`SELECT count(*) = 0 FROM tandem.inbox_aside`)
}

func TestWhatADiscardedMessageHeldGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.send(keyed(0, "a", "bad a1"), keyed(0, "a", "bad a2"), keyed(0, "a", "a3"))
	config := w.config()
	config.MaxAttempts = 1
	w.start(config, (&sick{}).handle)
	for n := range 2 {
		w.awaitCommitted(0, 3)
		w.awaitRow(`SELECT state = 'parked' FROM tandem.inbox_aside ORDER BY aside LIMIT 1`)
		require.Equal(t, 3-n, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_aside`))
		_, err := w.admin.Exec(t.Context(), `WITH gone AS (DELETE FROM tandem.inbox_aside WHERE state = 'parked') UPDATE tandem.inbox_partition SET changed = changed + 1`)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"a3"}, w.awaitEffects(1))
	w.send(keyed(0, "a", "a4"))
	require.Equal(t, []string{"a3", "a4"}, w.awaitEffects(2))
}

func TestWhatAFailingMessageHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hold           inboxkafka.Hold
		before, after  []string
		offset, stored int
	}{
		"its key":       {inboxkafka.HoldKey, []string{"b1"}, []string{"b1", "bad a1", "a2"}, 3, 2},
		"its partition": {inboxkafka.HoldPartition, []string{}, []string{"bad a1", "a2", "b1"}, 1, 1},
		"nothing":       {inboxkafka.HoldNothing, []string{"a2", "b1"}, []string{"a2", "b1", "bad a1"}, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.send(keyed(0, "a", "bad a1"), keyed(0, "a", "a2"), keyed(0, "b", "b1"))
			s := &sick{}
			config := w.config()
			config.Hold, config.MaxAttempts = c.hold, 2
			stop := w.start(config, s.handle)
			w.awaitParked(1)
			w.awaitCommitted(0, int64(c.offset))
			stop()
			require.Equal(t, c.before, w.effects())
			require.Equal(t, c.stored, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_aside`))
			s.mended.Store(true)
			w.start(config, s.handle)
			w.redrive()
			require.Equal(t, c.after, w.awaitEffects(3))
			w.awaitCommitted(0, 3)
		})
	}
}

func TestWhatAHandlerMayAskFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.send(keyed(0, "a", "ok 1"), keyed(0, "b", "bad park"), keyed(0, "c", "bad skip"), keyed(0, "d", "bad later"), keyed(0, "e", "ok 2"))
	var laters atomic.Int32
	config := w.config()
	w.start(config, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := effect(ctx, tx, m); err != nil {
			return err
		}
		switch string(m.Value) {
		case "bad park":
			return inbox.ParkAs("fraud", errSick)
		case "bad skip":
			return inbox.Skip("it is a test")
		case "bad later":
			if laters.Add(1) < 3 {
				return inbox.RetryAfter(time.Millisecond, errSick)
			}
		}
		return nil
	})
	w.awaitCommitted(0, 5)
	require.Equal(t, []string{"ok 1", "ok 2", "bad later"}, w.awaitEffects(3))
	require.Equal(t, []string{"parked bad park"}, testinbox.Strings(t, w.admin, asideSQL))
	require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_aside WHERE reason = 'fraud' AND attempts = 1`))
	require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_dropped WHERE kind = 'skipped' AND why = 'it is a test' AND position = 2`))
}

// A handler that skips before it has used its transaction costs no repetition.
func TestSkippingAtOnceRepeatsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a", "skip", "b", "skip", "c")
	var calls atomic.Int32
	w.start(w.config(), func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		calls.Add(1)
		if string(m.Value) == "skip" {
			return inbox.Skip("of no interest")
		}
		return effect(ctx, tx, m)
	})
	w.awaitCommitted(0, 5)
	// The first fetch may bring fewer messages than there are, and never one twice.
	require.Equal(t, []string{"a", "b", "c"}, w.effects())
	require.Equal(t, int32(5), calls.Load())
	require.Equal(t, 2, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_dropped`))
}

func TestStopEndsRunAndTheMessageComesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a", "stop", "b")
	consumer := w.consumer(w.config(), func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if string(m.Value) == "stop" {
			return inbox.Stop(errSick)
		}
		return effect(ctx, tx, m)
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := consumer.Run(ctx)
	var stopped *inboxkafka.StoppedError
	require.ErrorAs(t, err, &stopped)
	require.ErrorIs(t, err, errSick)
	require.Equal(t, int64(1), stopped.Message.Offset)
	w.start(w.config(), effect)
	require.Equal(t, []string{"a", "stop", "b"}, w.awaitEffects(3))
}

// Where everything fails it is not the messages' fault: few of them are set aside,
// none is parked, and all goes on in order when it is over.
func TestABrokenHandlerParksNoStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var want []string
	var records []*kgo.Record
	for i := range 40 {
		want = append(want, fmt.Sprintf("bad %02d", i))
		records = append(records, keyed(0, fmt.Sprint(i%10), want[i]))
	}
	w.send(records...)
	s := &sick{}
	config := w.config()
	config.MaxAttempts, config.BreakAfter = 50, 5
	slow := config
	slow.RetryMin, slow.RetryMax = time.Hour, time.Hour
	stop := w.start(slow, s.handle)
	require.Contains(t, w.logs.await(t, slog.LevelError, 1)[0], "message after message fails")
	stop()
	require.LessOrEqual(t, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_aside WHERE state = 'retrying'`), 6)

	w = newWorld(t, 1)
	w.send(records...)
	config.Brokers, config.Logger = w.config().Brokers, w.config().Logger
	w.start(config, s.handle)
	w.awaitRow(`SELECT coalesce(max(attempts) > 60, false) FROM tandem.inbox_aside`)
	require.Zero(t, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_aside WHERE state = 'parked'`))
	s.mended.Store(true)
	got := w.awaitEffects(40)
	w.awaitCommitted(0, 40)
	require.ElementsMatch(t, want, got)
	for key := range 10 {
		var ofKey []string
		for _, value := range got {
			if strings.HasSuffix(value, fmt.Sprint(key)) {
				ofKey = append(ofKey, value)
			}
		}
		require.True(t, slices.IsSorted(ofKey), "%q", ofKey)
	}
}

// A series of messages that are at fault comes to an end, however long it is.
func TestManyMessagesAtFaultInARow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for i := range 30 {
		w.send(keyed(0, fmt.Sprint("poison", i), fmt.Sprint("bad ", i)))
	}
	w.send(keyed(0, "good", "good 1"), keyed(0, "good", "good 2"))
	config := w.config()
	config.MaxAttempts, config.BreakAfter = 3, 5
	w.start(config, (&sick{}).handle)
	require.Equal(t, []string{"good 1", "good 2"}, w.awaitEffects(2))
	w.awaitCommitted(0, 32)
	w.awaitParked(30)
}

// Whose fault it is that a batch fails is found out by halving, or told.
func TestABatchHandler(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(int) error{
		"halved": func(int) error { return errSick },
		"told":   func(i int) error { return inbox.FailedAt(i, inbox.Park(errSick)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			var values []string
			for i := range 64 {
				values = append(values, fmt.Sprintf("v%02d", i))
			}
			values[17], values[60] = "bad 1", "bad 2"
			w.produce(0, values...)
			config := w.config()
			config.MaxAttempts = 1
			consumer, err := inboxkafka.NewBatchConsumer(config, w.pool, func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
				var names []string
				for i, m := range batch {
					if strings.HasPrefix(string(m.Value), "bad") {
						return fail(i)
					}
					names = append(names, string(m.Value))
				}
				_, err := tx.Exec(ctx, `INSERT INTO app.effects (name) SELECT unnest($1::text[])`, names)
				return err
			})
			require.NoError(t, err)
			w.run(consumer)
			w.awaitCommitted(0, 64)
			require.Equal(t, []string{"parked bad 1", "parked bad 2"}, testinbox.Strings(t, w.admin, asideSQL))
			require.Equal(t, slices.DeleteFunc(values, func(v string) bool { return strings.HasPrefix(v, "bad") }), w.effects())
		})
	}
}

// A constraint that is checked at commit does not tell whose fault it is.
func TestAFailureAtCommitIsFoundByHalving(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	_, err := w.admin.Exec(t.Context(), `ALTER TABLE app.effects ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED`)
	require.NoError(t, err)
	w.produce(0, "a", "b", "c", "b", "d", "e", "f")
	config := w.config()
	config.MaxAttempts = 1
	w.start(config, effect)
	w.awaitCommitted(0, 7)
	require.Equal(t, []string{"a", "b", "c", "d", "e", "f"}, w.effects())
	require.Equal(t, []string{"parked b"}, testinbox.Strings(t, w.admin, asideSQL))
}

func TestNothingIsLostWhenParkingFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a", "bad", "c")
	config := w.config()
	config.MaxAttempts = 1
	_, err := w.admin.Exec(t.Context(), `ALTER TABLE tandem.inbox_aside ADD CHECK (value <> 'bad')`)
	require.NoError(t, err)
	w.start(config, (&sick{}).handle)
	require.Contains(t, w.logs.await(t, slog.LevelWarn, 1)[0], "inbox_aside")
	require.LessOrEqual(t, w.committed(0), int64(1))
	_, err = w.admin.Exec(t.Context(), `ALTER TABLE tandem.inbox_aside DROP CONSTRAINT inbox_aside_value_check`)
	require.NoError(t, err)
	w.awaitCommitted(0, 3)
	require.Equal(t, []string{"a", "c"}, w.effects())
	require.Equal(t, []string{"parked bad"}, testinbox.Strings(t, w.admin, asideSQL))
}

// A consumer whose partition was taken over can do nothing more, whatever it has
// in its hands, and what was set aside meanwhile is known to it when it is the
// owner again.
func TestAnOwnerThatWasReplacedIsFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	inHandler, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.produce(0, "first")
	w.start(w.config(), func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if string(m.Value) == "first" {
			once.Do(func() { close(inHandler); <-goOn })
		}
		return effect(ctx, tx, m)
	})
	<-inHandler
	claimed := make(chan error, 1)
	var epoch int64
	go func() { // another owner
		claimed <- w.admin.QueryRow(context.Background(), `SELECT epoch FROM tandem.claim_inbox_partition('billing', 'orders', 0, 'another')`).Scan(&epoch)
	}()
	testinbox.AwaitBlocked(t, w.admin, 1) // by the transaction of the first
	close(goOn)
	require.NoError(t, <-claimed)
	w.send(keyed(0, "k", "k1"), keyed(0, "k", "k2"))
	require.Contains(t, w.logs.await(t, slog.LevelWarn, 1)[0], "taken the partition over")
	require.Equal(t, []string{"first", "k1", "k2"}, w.awaitEffects(3))
	w.awaitRow(`SELECT epoch > $1 AND holder <> 'another' FROM tandem.inbox_partition`, epoch)
}

// The client of a transaction was frozen in the midst of a pipelined request:
// Postgres waits for the rest of it without any time limit.
func TestAnOwnerFrozenWithinARequestIsEvicted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.logIn()
	_, err := w.admin.Exec(t.Context(), `SELECT tandem.claim_inbox_partition('billing', 'orders', 0, 'frozen')`)
	require.NoError(t, err)
	frozen, err := w.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer frozen.Release()
	front := frozen.Conn().PgConn().Frontend()
	for _, statement := range []string{`BEGIN`, `SET LOCAL idle_in_transaction_session_timeout = 10`, `SELECT FROM tandem.inbox_partition FOR KEY SHARE`} {
		front.SendParse(&pgproto3.Parse{Query: statement})
		front.SendBind(&pgproto3.Bind{})
		front.SendExecute(&pgproto3.Execute{})
	}
	require.NoError(t, front.Flush()) // and no Sync
	w.awaitRow(`SELECT count(*) > 0 FROM pg_locks WHERE relation = 'tandem.inbox_partition'::regclass AND mode = 'RowShareLock' AND pid = $1`, frozen.Conn().PgConn().PID())

	w.produce(0, "a")
	config := w.config()
	config.IdleTimeout, config.LockTimeout = 50*time.Millisecond, 200*time.Millisecond
	w.start(config, effect)
	require.Equal(t, []string{"a"}, w.awaitEffects(1))
	require.Contains(t, strings.Join(w.logs.of(slog.LevelWarn), "\n"), "session was ended")
}
