package integration_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// billing is a topic of messages and a database for their effects.
type billing struct {
	order
	admin    *pgxpool.Pool
	producer *kgo.Client
	messages int
}

func newBilling(t *testing.T, partitions int) *billing {
	t.Helper()
	b := &billing{order: order{Brokers: testservers.Kafka(t), Topic: testservers.Topic(t, partitions)}}
	address := testservers.Migrated(t)
	var err error
	b.admin, err = pgxpool.New(context.Background(), address)
	require.NoError(t, err)
	t.Cleanup(b.admin.Close)
	_, err = b.admin.Exec(t.Context(), `CREATE TABLE public.effects (name text NOT NULL); GRANT SELECT, INSERT ON public.effects TO tandem_consumer`)
	require.NoError(t, err)

	u, err := url.Parse(address)
	require.NoError(t, err)
	q := u.Query()
	q.Set("role", "tandem_consumer")
	u.RawQuery = q.Encode()
	b.Database = u.String()
	b.producer = b.client(t)
	return b
}

func (b *billing) client(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func record(topic string, partition int32, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value), Headers: []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte(uuid.Must(uuid.NewV7()).String())},
	}}
}

// produce sends n messages to each partition, named "partition/number", and
// each third of them twice.
func (b *billing) produce(t *testing.T, partitions, n int) {
	t.Helper()
	var records []*kgo.Record
	for i := range n {
		for p := range partitions {
			r := record(b.Topic, int32(p), fmt.Sprintf("%d/%d", p, i))
			records = append(records, r)
			if i%3 == 0 {
				again := *r
				records = append(records, &again)
			}
		}
	}
	b.messages += n * partitions
	require.NoError(t, b.producer.ProduceSync(t.Context(), records...).FirstErr())
}

// start runs a consumer in this process until the test, or the caller, stops it.
func (b *billing) start(t *testing.T, handler inbox.Handler) (stop func()) {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), b.Database)
	require.NoError(t, err)
	consumer, err := inboxkafka.NewConsumer(consumerConfig(b.Brokers, b.Topic), pool, handler)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		pool.Close()
	})
	t.Cleanup(stop)
	return stop
}

// awaitEffects waits until every message has its effect, and checks that none
// has two.
func (b *billing) awaitEffects(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := b.admin.QueryRow(context.Background(), `SELECT count(DISTINCT name) FROM public.effects`).Scan(&n)
		return err == nil && n == b.messages
	}, time.Minute, 10*time.Millisecond)
	var n int
	require.NoError(t, b.admin.QueryRow(t.Context(), `SELECT count(*) FROM public.effects`).Scan(&n))
	require.Equal(t, b.messages, n, "an effect was doubled")
}

// awaitGroup waits until Kafka says that of the group.
func (b *billing) awaitGroup(t *testing.T, what string, is func(kadm.DescribedGroup) bool) {
	t.Helper()
	admin := kadm.NewClient(b.producer)
	require.Eventually(t, func() bool {
		groups, err := admin.DescribeGroups(context.Background(), b.Topic)
		return err == nil && is(groups[b.Topic])
	}, time.Minute, 10*time.Millisecond, what)
}

// The transaction is committed, the offset is not: the messages come again, and
// their effects do not.
func TestConsumerKilledBetweenItsTwoCommits(t *testing.T) {
	t.Parallel()
	b := newBilling(t, 2)
	b.produce(t, 2, 50)
	effects := 0
	for range 2 {
		o := b.order
		o.KilledAtCommit = true
		p := startConsumerProcess(t, o)
		_ = p.Wait()
		require.Equal(t, syscall.SIGKILL, p.ProcessState.Sys().(syscall.WaitStatus).Signal())
		before := effects
		require.NoError(t, b.admin.QueryRow(t.Context(), `SELECT count(*) FROM public.effects`).Scan(&effects))
		require.Positive(t, effects)
		require.GreaterOrEqual(t, effects, before)
	}
	startConsumerProcess(t, b.order)
	b.awaitEffects(t)
}

// A second consumer joins while the first is in the middle of a batch; the first
// finishes it, and they share the rest.
func TestRebalanceInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()
	b := newBilling(t, 4)
	b.produce(t, 4, 100)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.start(t, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		err := addEffect(ctx, tx, m)
		once.Do(func() { close(entered); <-release })
		return err
	})
	<-entered
	var second atomic.Int32
	b.start(t, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		second.Add(1)
		return addEffect(ctx, tx, m)
	})
	b.awaitGroup(t, "rebalancing", func(g kadm.DescribedGroup) bool { return g.State == "PreparingRebalance" })
	close(release)
	b.awaitGroup(t, "two members", func(g kadm.DescribedGroup) bool { return g.State == "Stable" && len(g.Members) == 2 })
	b.produce(t, 4, 50)
	b.messages -= 4 * 50 // the same names, but other ids
	require.Eventually(t, func() bool {
		var n int
		err := b.admin.QueryRow(context.Background(), `SELECT count(*) FROM public.effects`).Scan(&n)
		return err == nil && n == 4*150
	}, time.Minute, 10*time.Millisecond)
	require.Positive(t, second.Load())
}

// The first consumer's batch takes longer than it may drain: it is rolled back,
// and the one that takes the partition over does the work.
func TestRebalanceDuringABatchThatTakesTooLong(t *testing.T) {
	t.Parallel()
	b := newBilling(t, 2)
	b.produce(t, 2, 30)
	entered := make(chan struct{})
	var once sync.Once
	b.start(t, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		err := addEffect(ctx, tx, m)
		once.Do(func() { close(entered); <-ctx.Done() })
		return err
	})
	<-entered
	b.start(t, addEffect)
	b.awaitEffects(t)
}

// A consumer is frozen in the middle of a batch. Its partitions go to another,
// which waits for no longer than the idle time-out; it wakes, and doubles
// nothing.
func TestFrozenConsumerWakesAfterItsPartitionsWereTaken(t *testing.T) {
	t.Parallel()
	b := newBilling(t, 1)
	b.produce(t, 1, 60)
	o := b.order
	o.PauseAt = "0/5"
	frozen := startConsumerProcess(t, o)
	frozen.awaitLine(t, "paused")
	require.NoError(t, frozen.Process.Signal(syscall.SIGSTOP))
	b.start(t, addEffect)
	b.awaitEffects(t)
	require.NoError(t, frozen.Process.Signal(syscall.SIGCONT))
	_, err := frozen.input.Write([]byte("\n"))
	require.NoError(t, err)
	b.awaitGroup(t, "two members", func(g kadm.DescribedGroup) bool { return g.State == "Stable" && len(g.Members) == 2 })
	b.awaitEffects(t)
	require.NoError(t, frozen.Process.Signal(syscall.SIGTERM))
	require.NoError(t, frozen.Wait())
	b.awaitEffects(t)
}

// What a transactional producer aborted has no effect, and holds nothing up.
func TestAbortedTransactionsHaveNoEffect(t *testing.T) {
	t.Parallel()
	b := newBilling(t, 1)
	producer := b.client(t, kgo.TransactionalID(b.Topic))
	transaction := func(how kgo.TransactionEndTry, values ...string) {
		require.NoError(t, producer.BeginTransaction())
		for _, v := range values {
			require.NoError(t, producer.ProduceSync(t.Context(), record(b.Topic, 0, v)).FirstErr())
		}
		require.NoError(t, producer.EndTransaction(t.Context(), how))
	}
	transaction(kgo.TryAbort, "aborted 1", "aborted 2")
	transaction(kgo.TryCommit, "committed 1")
	transaction(kgo.TryAbort, "aborted 3")
	b.start(t, addEffect)
	transaction(kgo.TryCommit, "committed 2")
	transaction(kgo.TryAbort, "aborted 4")
	b.messages = 2
	b.awaitEffects(t)
	admin := kadm.NewClient(b.producer)
	require.Eventually(t, func() bool {
		offsets, err := admin.FetchOffsets(context.Background(), b.Topic)
		o, ok := offsets.Lookup(b.Topic, 0)
		return err == nil && ok && o.At == 11 // six records and five markers
	}, time.Minute, 10*time.Millisecond)
	var names []string
	require.NoError(t, b.admin.QueryRow(t.Context(), `SELECT array_agg(name ORDER BY name) FROM public.effects`).Scan(&names))
	require.Equal(t, []string{"committed 1", "committed 2"}, names)
}
