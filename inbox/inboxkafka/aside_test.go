package inboxkafka_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// What waits behind a message that fails again goes on waiting, also when the
// message was found by halving and so stood alone in its transaction.
func TestSuccessorsWaitWhenAMessageThatIsSetAsideFailsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.send(keyed(0, "a", "bad a1"), keyed(0, "a", "a2"), keyed(0, "a", "a3"), keyed(0, "a", "a4"), keyed(0, "b", "b1"))
	var mended atomic.Bool
	config := w.config()
	config.MaxAttempts = 3
	consumer, err := inboxkafka.NewBatchConsumer(config, w.pool, func(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
		for _, m := range batch {
			if err := effect(ctx, tx, m); err != nil {
				return err
			}
			if strings.HasPrefix(string(m.Value), "bad") && !mended.Load() {
				return errSick // without saying which
			}
		}
		return nil
	})
	require.NoError(t, err)
	w.run(consumer)
	w.awaitParked(1)
	w.awaitCommitted(0, 5)
	w.redrive()
	w.awaitRow(`SELECT attempts = 4 AND NOT redrive AND state = 'parked' FROM tandem.inbox_aside ORDER BY aside LIMIT 1`)
	mended.Store(true)
	w.redrive()
	require.Equal(t, []string{"b1", "bad a1", "a2", "a3", "a4"}, w.awaitEffects(5))
}

// A handler that gives up a query by a time limit of its own loses the
// connection with it; that is its message's failure all the same.
func TestAHandlersOwnTimeLimitIsAFailureOfItsMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.send(keyed(0, "a", "a1"), keyed(0, "b", "slow b1"), keyed(0, "c", "c1"))
	config := w.config()
	config.MaxAttempts = 2
	w.start(config, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if strings.HasPrefix(string(m.Value), "slow") {
			limited, cancel := context.WithCancel(ctx)
			pid, watched := tx.Conn().PgConn().PID(), make(chan struct{})
			go func() {
				defer close(watched)
				defer cancel()
				w.awaitRow(`SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'`, pid)
			}()
			_, err := tx.Exec(limited, `SELECT pg_sleep(60)`)
			<-watched
			return err
		}
		return effect(ctx, tx, m)
	})
	w.awaitParked(1)
	w.awaitCommitted(0, 3)
	require.Equal(t, []string{"a1", "c1"}, w.effects())
	require.Equal(t, []string{"parked slow b1"}, testinbox.Strings(t, w.admin, asideSQL))
}

// A handler that lets its transaction wait for longer than Postgres may wait
// fails for its message; the partition goes on.
func TestAHandlerThatIsIdleForTooLongIsAFailureOfItsMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.send(keyed(0, "a", "a1"), keyed(0, "b", "idle b1"), keyed(0, "b", "last b2"), keyed(0, "c", "c1"), keyed(0, "d", "idle and out d1"))
	config := w.config()
	config.MaxAttempts, config.IdleTimeout = 1, time.Second
	w.start(config, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		value := string(m.Value)
		if err := effect(ctx, tx, m); err != nil || !strings.HasPrefix(value, "idle") {
			return err
		}
		// Until Postgres has ended the session.
		w.awaitRow(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)`, tx.Conn().PgConn().PID())
		if strings.Contains(value, "and out") {
			return nil
		}
		return effect(ctx, tx, m)
	})
	w.awaitParked(2)
	w.awaitCommitted(0, 5)
	require.Equal(t, []string{"a1", "c1"}, w.effects())
}

// Whatever a handler says and a producer sends, it can be set aside.
func TestWhatPostgresCannotKeepIsSetAsideAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	odd, future, past := record(0, "odd"), record(0, "bad future"), record(0, "bad past")
	future.Timestamp = time.UnixMilli(1_700_000_000_000_000_000) // nanoseconds taken for milliseconds
	past.Timestamp = time.UnixMilli(-1_700_000_000_000_000_000)
	w.send(odd, future, past, record(0, "last"))
	w.start(w.config(), func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if string(m.Value) == "last" {
			return effect(ctx, tx, m)
		}
		return inbox.ParkAs("a\x00b\xff", errors.New("c\x00d\xff"))
	})
	w.awaitCommitted(0, 4)
	require.Equal(t, []string{"parked odd", "parked bad future", "parked bad past"}, testinbox.Strings(t, w.admin, asideSQL))
}

// A handler that ends its goroutine (require.NoError does, outside a test's own
// goroutine) ends Run: its partition would stand still in silence.
func TestAHandlerThatEndsItsGoroutineEndsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a")
	consumer := w.consumer(w.config(), func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := effect(ctx, tx, m); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorContains(t, consumer.Run(ctx), "runtime.Goexit")
	require.Empty(t, w.effects())
	w.awaitRow(`SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`)
}

// A parked message that holds nothing comes again, because its offset could not
// be committed, and fails: that is no reason to try the stored one without an
// operator, and there is one of it.
func TestAParkedMessageThatComesAgainIsParkedAsItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed, Count: -1})
	w.produce(0, "bad", "b")
	s := &sick{}
	config := w.config()
	config.MaxAttempts = 2
	stop := w.start(config, s.handle)
	w.awaitParked(1)
	w.awaitEffects(1)
	stop()
	require.Equal(t, int32(2), s.attempts.Load())

	fault.Remove()
	consumer := w.consumer(config, s.handle)
	w.run(consumer)
	w.awaitCommitted(0, 2)
	w.produce(0, "c")
	w.awaitCommitted(0, 3)
	require.Eventually(t, func() bool {
		p := consumer.Stats().Partitions
		return len(p) == 1 && p[0].Aside == 1
	}, patience, 5*time.Millisecond)
	require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_aside WHERE state = 'parked' AND attempts = 2`))
	require.Equal(t, int32(3), s.attempts.Load())
	require.Equal(t, []string{"b", "c"}, w.effects())
}

// Somebody tidies up: the consumer takes its partition over again.
func TestAClaimThatWasDeletedIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "bad")
	s := &sick{}
	w.start(w.config(), s.handle)
	for n := range 2 {
		w.awaitRow(`SELECT count(*) = 1 FROM tandem.inbox_aside`)
		_, err := w.admin.Exec(t.Context(), `DELETE FROM tandem.inbox_partition`)
		require.NoError(t, err)
		w.produce(0, "after")
		w.awaitEffects(n + 1)
	}
}
