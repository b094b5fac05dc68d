package inboxkafka_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

func withHeader(r *kgo.Record, name, value string) *kgo.Record {
	for i := range r.Headers {
		if r.Headers[i].Key == name {
			r.Headers[i].Value = []byte(value)
			return r
		}
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	return r
}

func withoutValue(r *kgo.Record) *kgo.Record {
	r.Value = nil
	return r
}

// What cannot be handled as it came is parked, unless the configuration says
// otherwise; what an operator redrives is handled.
func TestBadInput(t *testing.T) {
	t.Parallel()
	old := testinbox.V7At(time.Now().AddDate(-1, 0, 0))
	future := testinbox.V7At(time.Now().AddDate(5, 0, 0))
	undecodable := func(_ context.Context, _ pgx.Tx, m inbox.Message, _ int) error { return errors.New("never") }
	for name, c := range map[string]struct {
		record  *kgo.Record
		reason  string
		policy  func(*inboxkafka.Policies) *inboxkafka.Policy
		handler inbox.Handler // defaults to effect
		accept  bool          // the policy may be Accept
		redrive bool          // a redrive has it handled
	}{
		"no id": {
			&kgo.Record{Topic: topic, Value: []byte("odd")}, "missing id",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.MissingID }, nil, false, true,
		},
		"an id that is too long": {
			withHeader(record(0, "odd"), "ce_id", strings.Repeat("x", 1001)), "invalid id",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.InvalidID }, nil, false, true,
		},
		"an id with a zero byte": {
			withHeader(record(0, "odd"), "ce_id", "a\x00b"), "invalid id",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.InvalidID }, nil, false, true,
		},
		"an id that is too old": {
			withHeader(record(0, "odd"), "ce_id", old), "unprovable",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.Unprovable }, nil, true, true,
		},
		"an id of the future": {
			withHeader(record(0, "odd"), "ce_id", future), "unprovable",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.Unprovable }, nil, true, true,
		},
		"another version of CloudEvents": {
			withHeader(record(0, "odd"), "ce_specversion", "0.3"), "malformed",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.Malformed }, nil, true, true,
		},
		"a time that is none": {
			withHeader(record(0, "odd"), "ce_time", "yesterday"), "malformed",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.Malformed }, nil, true, true,
		},
		"an attribute that is not UTF-8": {
			withHeader(record(0, "odd"), "ce_type", "\xff"), "malformed",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.Malformed }, nil, true, true,
		},
		"a tombstone": {
			withoutValue(record(0, "")), "tombstone",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.Tombstone },
			func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				if m.Value == nil {
					m.Value = []byte("odd")
				}
				return effect(ctx, tx, m)
			}, true, true,
		},
		"what cannot be decoded": {
			record(0, "odd"), "undecodable",
			func(p *inboxkafka.Policies) *inboxkafka.Policy { return &p.Undecodable },
			func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				if string(m.Value) != "odd" {
					return effect(ctx, tx, m)
				}
				return inbox.Typed(inbox.JSON[int](), undecodable)(ctx, tx, m)
			}, false, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, policy := range []inboxkafka.Policy{inboxkafka.Park, inboxkafka.Skip, inboxkafka.Accept, inboxkafka.Stop} {
				w := newWorld(t, 1)
				odd := *c.record
				w.send(record(0, "a"), &odd, record(0, "b"))
				config := w.config()
				*c.policy(&config.Policies) = policy
				handler := c.handler
				if handler == nil {
					handler = effect
				}
				if policy == inboxkafka.Accept && !c.accept {
					_, err := inboxkafka.NewConsumer(config, w.pool, handler)
					require.ErrorContains(t, err, "is Accept, it must be")
					continue
				}
				consumer := w.consumer(config, handler)
				switch policy {
				case inboxkafka.Park:
					w.run(consumer)
					w.awaitCommitted(0, 3)
					require.Equal(t, []string{"a", "b"}, w.effects())
					require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_aside WHERE state = 'parked' AND reason = $1 AND error <> '' AND hint <> ''`, c.reason))
					w.redrive()
					if !c.redrive {
						w.awaitRow(`SELECT attempts = 2 AND NOT redrive FROM tandem.inbox_aside`)
						continue
					}
					require.Equal(t, []string{"a", "b", "odd"}, w.awaitEffects(3))
					w.awaitRow(`SELECT count(*) = 0 FROM tandem.inbox_aside`)
				case inboxkafka.Skip:
					w.run(consumer)
					w.awaitCommitted(0, 3)
					require.Equal(t, []string{"a", "b"}, w.effects())
					require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_dropped WHERE kind = 'skipped' AND position = 1 AND why LIKE $1 || '%'`, c.reason))
					require.Equal(t, int64(1), consumer.Stats().Skipped)
				case inboxkafka.Accept:
					w.run(consumer)
					w.awaitCommitted(0, 3)
					require.Equal(t, []string{"a", "odd", "b"}, w.effects())
				case inboxkafka.Stop:
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					err := consumer.Run(ctx)
					cancel()
					var stopped *inboxkafka.StoppedError
					require.ErrorAs(t, err, &stopped)
					require.Equal(t, int64(1), stopped.Message.Offset)
				}
			}
		})
	}
}

// A message that could not be proved new and was accepted is known from then on,
// also to Once, which follows the consumer's policy.
func TestWhatWasAcceptedThoughUnprovableIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	id := testinbox.V7At(time.Now().AddDate(-1, 0, 0))
	w.send(withHeader(record(0, "a"), "ce_id", id), withHeader(record(0, "again"), "ce_id", id))
	config := w.config()
	config.Policies.Unprovable = inboxkafka.Accept
	w.start(config, effect)
	w.awaitCommitted(0, 2)
	w.send(withHeader(record(0, "and again"), "ce_id", id))
	w.awaitCommitted(0, 3)
	require.Equal(t, []string{"a"}, w.effects())
	for id, want := range map[string]bool{id: false, testinbox.V7At(time.Now().AddDate(-1, 0, 0)): true} {
		require.NoError(t, pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
			first, err := inbox.Once(t.Context(), tx, "billing", id)
			require.Equal(t, want, first)
			return err
		}))
	}
	require.Equal(t, 2, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_late`))
}

// The offset is committed first, and nothing is recorded; what fails is lost, and
// only that.
func TestAtMostOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a", "bad", "b", "panic", "c")
	w.send(withoutValue(record(0, "")))
	config := w.config()
	config.Delivery = inboxkafka.AtMostOnce
	var mu sync.Mutex
	var early []string
	consumer := w.consumer(config, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if w.committed(0) <= m.Offset {
			mu.Lock()
			early = append(early, string(m.Value))
			mu.Unlock()
		}
		if err := effect(ctx, tx, m); err != nil {
			return err
		}
		switch string(m.Value) {
		case "bad":
			return errSick
		case "panic":
			panic(errSick)
		}
		return nil
	})
	w.run(consumer)
	require.Equal(t, []string{"a", "b", "c"}, w.awaitEffects(3))
	w.awaitCommitted(0, 6)
	w.logs.await(t, slog.LevelWarn, 1)
	require.Eventually(t, func() bool { return consumer.Stats().Lost == 3 }, patience, 5*time.Millisecond)
	require.Equal(t, int64(3), consumer.Stats().Handled)
	require.Empty(t, early, "the handler was called before the offset was committed")
	require.Zero(t, testinbox.Count(t, w.admin, `SELECT (SELECT count(*) FROM tandem.inbox) + (SELECT count(*) FROM tandem.inbox_aside)`))
}

func TestAHandlerOfDatabaseSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	db := stdlib.OpenDBFromPool(w.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	w.send(keyed(0, "a", "a1"), keyed(0, "b", "bad b1"), keyed(0, "b", "b2"), keyed(0, "c", "panic c1"), keyed(0, "a", "a2"))
	s := &sick{}
	config := w.config()
	config.MaxAttempts = 2
	consumer, err := inboxkafka.NewSQLConsumer(config, db, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO app.effects (name) VALUES ($1)`, string(m.Value)); err != nil {
			return err
		}
		switch {
		case s.mended.Load():
		case strings.HasPrefix(string(m.Value), "bad"):
			return errSick
		case strings.HasPrefix(string(m.Value), "panic"):
			panic(errSick)
		}
		return nil
	})
	require.NoError(t, err)
	w.run(consumer)
	w.awaitParked(2)
	w.awaitCommitted(0, 5)
	require.Equal(t, []string{"a1", "a2"}, w.effects())
	s.mended.Store(true)
	w.redrive()
	require.ElementsMatch(t, []string{"a1", "a2", "bad b1", "b2", "panic c1"}, w.awaitEffects(5))
}

func TestADatabaseSQLHandlerThatEndsTheTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	db := stdlib.OpenDBFromPool(w.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	w.produce(0, "a")
	consumer, err := inboxkafka.NewSQLConsumer(w.config(), db, func(_ context.Context, tx *sql.Tx, _ inbox.Message) error { return tx.Commit() })
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorContains(t, consumer.Run(ctx), "ended the batch's transaction")
}
