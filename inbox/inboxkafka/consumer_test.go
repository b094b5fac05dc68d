package inboxkafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/migrations"
)

func TestMessagesHaveTheirEffectsInOrderAndOffsetsFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var want []string
	for i := range 250 {
		want = append(want, fmt.Sprint(i))
	}
	w.produce(0, want[:200]...)
	config := w.config()
	config.BatchSize = 30
	stop := w.start(config, effect)
	w.awaitCommitted(0, 200)
	w.produce(0, want[200:]...)
	w.awaitCommitted(0, 250)
	stop()
	require.Equal(t, want, w.effects())

	w.produce(0, "later")
	stop = w.start(config, effect)
	w.awaitCommitted(0, 251)
	stop()
	require.Equal(t, append(want, "later"), w.effects(), "a restart goes on at the group's offset")
}

func TestTheSameMessageTwiceHasOneEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	twice := record(0, "twice")
	again := *twice
	elsewhere := *twice
	elsewhere.Partition = 1
	w.send(twice, record(0, "other"), &again, &elsewhere)
	w.start(w.config(), effect)
	w.awaitCommitted(0, 3)
	w.awaitCommitted(1, 1)
	require.ElementsMatch(t, []string{"twice", "other"}, w.effects())
	require.Empty(t, w.logs.of(slog.LevelWarn))
}

func TestWhatTheHandlerGets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.send(&kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(`{"a":1}`), Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte("id 1")},
		{Key: "ce_type", Value: []byte("order.placed")},
		{Key: "ce_source", Value: []byte("/tandem/shop")},
		{Key: "ce_time", Value: []byte("2026-01-02T03:04:05.678Z")},
		{Key: "content-type", Value: []byte("application/json")},
		{Key: "tenant", Value: []byte("acme")},
	}}, &kgo.Record{Topic: topic, Timestamp: time.UnixMilli(1_700_000_000_123), Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("id 2")}}})
	got := make(chan inbox.Message, 2)
	config := w.config()
	config.Policies.Tombstone = inboxkafka.Accept
	w.start(config, func(_ context.Context, _ pgx.Tx, m inbox.Message) error {
		got <- m
		return nil
	})
	m := <-got
	require.Len(t, m.Headers, 7)
	require.Equal(t, "acme", m.Header("tenant"))
	require.Empty(t, m.Header("none"))
	require.WithinDuration(t, time.Now(), m.Sent, time.Minute)
	m.Headers, m.Sent = nil, time.Time{}
	require.Equal(t, inbox.Message{
		Attempt: 1, ID: "id 1", Topic: topic, Key: []byte("k"), Value: []byte(`{"a":1}`), Type: "order.placed", Source: "/tandem/shop",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC), ContentType: "application/json",
	}, m)
	m = <-got
	require.Equal(t, int64(1), m.Offset)
	require.Nil(t, m.Key)
	require.Nil(t, m.Value, "a tombstone is nil, and not empty")
	require.Equal(t, int64(1_700_000_000_123), m.Time.UnixMilli(), "without ce_time it is the record's")
}

func TestDeduplicationByABusinessKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "payment 1", "payment 2", "payment 1")
	config := w.config()
	config.MessageID = func(m inbox.Message) (string, error) { return string(m.Value), nil }
	w.start(config, effect)
	w.awaitCommitted(0, 3)
	require.Equal(t, []string{"payment 1", "payment 2"}, w.effects())
}

// The offset is committed after the transaction; when that fails, the messages
// come again, and their effects do not.
func TestAnOffsetThatCannotBeCommittedDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed, Count: -1})
	w.produce(0, "a", "b")
	stop := w.start(w.config(), effect)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, fault.Wait(ctx, 1))
	stop()
	require.Equal(t, []string{"a", "b"}, w.effects(), "the transaction comes first")
	require.Zero(t, w.committed(0))
	require.Contains(t, w.logs.of(slog.LevelWarn)[0], "offset=2")

	fault.Remove()
	w.produce(0, "c")
	w.start(w.config(), effect)
	w.awaitCommitted(0, 3)
	require.Equal(t, []string{"a", "b", "c"}, w.effects())
}

// A member that has died waiting for a rebalance is waited for no longer than it
// takes a living one to come back: not for kafka-go's 30s.
func TestARebalanceDoesNotWaitLongForTheDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	joins := make(chan int32, 100)
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Observe: true, Count: -1, When: func(r kmsg.Request) bool {
		joins <- r.(*kmsg.JoinGroupRequest).RebalanceTimeoutMillis
		return true
	}})
	config := w.config()
	config.SessionTimeout, config.DrainTimeout = 4*time.Second, time.Second
	w.start(config, effect)
	require.EqualValues(t, 5000, <-joins)
}

// Every step of joining a group may fail for a while.
func TestPassingErrorsOfTheGroupAreRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Group: "billing", Err: kerr.CoordinatorNotAvailable},
		kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "billing", Err: kerr.CoordinatorLoadInProgress},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: 2},
	)
	w.produce(0, "a")
	w.start(w.config(), effect)
	w.awaitCommitted(0, 1)
	require.Equal(t, []string{"a"}, w.effects())
}

func TestWhatIsInWorkIsFinishedWhenRunIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a", "b")
	entered, release := make(chan struct{}), make(chan struct{})
	stop := w.start(w.config(), func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if string(m.Value) == "a" {
			close(entered)
			<-release
		}
		return effect(ctx, tx, m)
	})
	<-entered
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	close(release)
	<-stopped
	require.Equal(t, []string{"a", "b"}, w.effects())
	require.Equal(t, int64(2), w.committed(0))
}

func TestWhatIsInWorkForTooLongIsRolledBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a")
	entered := make(chan struct{})
	config := w.config()
	config.DrainTimeout = 50 * time.Millisecond
	stop := w.start(config, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := effect(ctx, tx, m); err != nil {
			return err
		}
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	<-entered
	stop()
	require.Empty(t, w.effects())
	require.Zero(t, w.committed(0))
	require.Empty(t, w.logs.of(slog.LevelError), "nobody failed")
}

func TestAHandlerThatCommitsEndsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, "a", "b")
	consumer := w.consumer(w.config(), func(ctx context.Context, tx pgx.Tx, _ inbox.Message) error {
		_, err := tx.Exec(ctx, `COMMIT`)
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorContains(t, consumer.Run(ctx), "offset 0")
}

func TestPostgresMayGoAwayForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var killed atomic.Int32
	w.start(w.config(), func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if killed.Add(1) <= 3 {
			_, err := w.admin.Exec(ctx, `SELECT pg_terminate_backend($1, 10000)`, tx.Conn().PgConn().PID())
			require.NoError(t, err)
		}
		return effect(ctx, tx, m)
	})
	w.produce(0, "a", "b")
	w.awaitCommitted(0, 2)
	require.Equal(t, []string{"a", "b"}, w.effects())
	require.Empty(t, w.logs.of(slog.LevelError))
}

func TestABatchMayWaitToFillUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config := w.config()
	config.BatchSize, config.BatchWait = 3, patience
	w.start(config, effect)
	w.produce(0, "a")
	w.produce(0, "b")
	w.produce(0, "c")
	w.awaitCommitted(0, 3)
	require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(DISTINCT xmin::text) FROM app.effects`), "one transaction")
}

func TestAConsumerInAnotherSchema(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	config, err := pgx.ParseConfig(w.admin.Config().ConnString())
	require.NoError(t, err)
	migrator, err := migrations.Open(config, "messages")
	require.NoError(t, err)
	defer migrator.Close()
	_, err = migrator.Up(t.Context())
	require.NoError(t, err)
	other := w.config()
	other.Schema = "messages"
	twice := record(0, "a")
	again := *twice
	w.send(twice, &again)
	w.start(other, effect)
	w.awaitCommitted(0, 2)
	require.Equal(t, []string{"a"}, w.effects())
	require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(*) FROM messages.inbox`))
	require.Zero(t, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox`))
}
