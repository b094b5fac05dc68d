//go:build unix

package testlinks_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/kafkaproxy"
	"github.com/tandem-outbox/tandem/internal/testlinks"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// process is a client's side of the network: what it dials is noted.
type process struct {
	t     *testing.T
	link  *testlinks.Kafka
	topic string

	mu     sync.Mutex
	dialed map[string]bool
}

func newProcess(t *testing.T, brokers []string, topic string) *process {
	t.Helper()
	return &process{t: t, link: testlinks.NewKafka(t, brokers), topic: topic, dialed: map[string]bool{}}
}

const partitions = 6

// fake is a cluster of three brokers.
func fake(t *testing.T) (cluster *kfake.Cluster, topic string) {
	t.Helper()
	topic = "orders"
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(partitions, topic))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster, topic
}

func (p *process) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.mu.Lock()
	p.dialed[address] = true
	p.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, address)
}

// nothingLeaked expects that no address but the network's was dialed; how many
// there were is returned.
func (p *process) nothingLeaked() int {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for address := range p.dialed {
		require.True(p.t, slices.Contains(p.link.Brokers(), address), address)
	}
	return len(p.dialed)
}

func (p *process) client() *kafka.Client {
	transport := &kafka.Transport{Dial: p.dial, MetadataTTL: 50 * time.Millisecond}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(p.link.Brokers()...), Timeout: patience, Transport: transport}
}

func (p *process) franz(options ...kgo.Opt) *kgo.Client {
	p.t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(p.link.Brokers()...), kgo.Dialer(p.dial),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(p.t, err)
	p.t.Cleanup(client.Close)
	return client
}

func (p *process) produce(client *kafka.Client, partition int) error {
	res, err := client.Produce(p.t.Context(), &kafka.ProduceRequest{
		Topic: p.topic, Partition: partition, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("of kafka-go"))}),
	})
	if err != nil {
		return err
	}
	return res.Error
}

func (p *process) franzProduce(client *kgo.Client, partition int) error {
	return client.ProduceSync(p.t.Context(), &kgo.Record{Topic: p.topic, Partition: int32(partition), Value: []byte("of franz-go")}).FirstErr()
}

// consume reads n records as a group of kafka-go's does, and commits them.
func (p *process) consume(n int) {
	p.t.Helper()
	dialer := &kafka.Dialer{DialFunc: p.dial, Timeout: patience}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: "group-of-" + p.topic, Brokers: p.link.Brokers(), Topics: []string{p.topic}, Dialer: dialer,
		StartOffset: kafka.FirstOffset, Timeout: patience,
	})
	require.NoError(p.t, err)
	defer func() { require.NoError(p.t, group.Close()) }()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	var generation *kafka.Generation
	for generation == nil {
		if generation, err = group.Next(ctx); err != nil {
			require.NoError(p.t, ctx.Err(), "%v", err) // else it passes: a coordinator that is not there yet
		}
	}
	client, offsets, read := p.client(), map[int]int64{}, 0
	for _, a := range generation.Assignments[p.topic] {
		for next := a.Offset; read < n; {
			res, err := client.Fetch(ctx, &kafka.FetchRequest{
				Topic: p.topic, Partition: a.ID, Offset: max(0, next), MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 10 * time.Millisecond,
			})
			require.NoError(p.t, err)
			require.NoError(p.t, res.Error)
			if next = max(0, next); next >= res.HighWatermark {
				break
			}
			for {
				record, err := res.Records.ReadRecord()
				if err != nil {
					break
				}
				read, next = read+1, record.Offset+1
			}
			offsets[a.ID] = next
		}
	}
	require.Equal(p.t, n, read)
	require.NoError(p.t, generation.CommitOffsets(map[string]map[int]int64{p.topic: offsets}))
}

// everything uses all that tells addresses.
func (p *process) everything(partitions int) {
	p.t.Helper()
	client, franz := p.client(), p.franz()
	for partition := range partitions {
		require.NoError(p.t, p.produce(client, partition))
		require.NoError(p.t, p.franzProduce(franz, partition))
	}
	p.consume(2 * partitions)
	consumer := p.franz(kgo.ConsumerGroup("other-of-"+p.topic), kgo.ConsumeTopics(p.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for read := 0; read < 2*partitions; {
		fetched := consumer.PollFetches(ctx)
		require.NoError(p.t, ctx.Err())
		read += fetched.NumRecords()
	}
}

func TestProcessesLearnNoOtherAddresses(t *testing.T) {
	t.Parallel()
	cluster, topic := fake(t)
	p := newProcess(t, cluster.ListenAddrs(), topic)
	p.everything(partitions)
	require.Equal(t, 3, p.nothingLeaked())
	// A partition that has moved: the old leader tells the new one's address.
	franz := p.franz()
	for node := range int32(3) {
		require.NoError(t, cluster.MoveTopicPartition(topic, 0, node))
		require.NoError(t, p.franzProduce(franz, 0))
	}
	p.nothingLeaked()
}

func TestRealBrokers(t *testing.T) {
	t.Parallel()
	p := newProcess(t, testservers.Kafka(t), testservers.Topic(t, partitions))
	p.everything(partitions)
	p.link.Cut()
	require.NoError(t, p.franzProduce(p.franz(), 0))
	p.nothingLeaked()
}

// told notes what a test is told instead of failing.
type told struct {
	testing.TB
	once sync.Once
	told chan string
}

func (t *told) Errorf(format string, of ...any) {
	t.once.Do(func() { t.told <- fmt.Sprintf(format, of...) })
}

func TestUnknownBrokersFailTheTest(t *testing.T) {
	t.Parallel()
	cluster, topic := fake(t)
	test := &told{TB: t, told: make(chan string, 1)}
	link := testlinks.NewKafka(test, cluster.ListenAddrs()[:2])
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(link.Brokers()...), Transport: transport, Timeout: patience}
	_, err := client.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
	require.Error(t, err)
	require.Contains(t, <-test.told, cluster.ListenAddrs()[2])
}

func TestReplyOfProduceLost(t *testing.T) {
	t.Parallel()
	cluster, topic := fake(t)
	p := newProcess(t, cluster.ListenAddrs(), topic)
	client := p.client()
	require.NoError(t, p.produce(client, 1))
	lost := p.link.LoseReply(kafkaproxy.Produce)
	require.Error(t, p.produce(client, 1))
	<-lost
	require.EqualValues(t, 2, end(t, cluster.ListenAddrs(), topic, 1), "the broker has not got it")
	p.link.LoseReply(kafkaproxy.Produce)
	p.link.Withdraw()
	require.NoError(t, p.produce(client, 1))
	require.EqualValues(t, 3, end(t, cluster.ListenAddrs(), topic, 1))
}

// end is a partition's next offset, asked directly.
func end(t *testing.T, brokers []string, topic string, partition int) int64 {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport, Timeout: patience}
	res, err := client.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(partition)}},
	})
	require.NoError(t, err)
	require.NoError(t, res.Topics[topic][0].Error)
	return res.Topics[topic][0].LastOffset
}

func TestFaultsHoldForEveryBroker(t *testing.T) {
	t.Parallel()
	cluster, topic := fake(t)
	p := newProcess(t, cluster.ListenAddrs(), topic)
	p.link.Down()
	for _, front := range p.link.Brokers() {
		_, err := net.Dial("tcp", front)
		require.Error(t, err)
	}
	p.link.Heal()
	p.link.Delay(time.Millisecond, time.Millisecond)
	p.link.Throttle(50_000)
	franz := p.franz()
	for partition := range partitions {
		require.NoError(t, p.franzProduce(franz, partition))
	}
	p.link.HalfOpen(false, true)
	produced := make(chan error, 1)
	go func() { produced <- p.franzProduce(franz, 2) }()
	require.Eventually(t, func() bool { return end(t, cluster.ListenAddrs(), topic, 2) == 2 }, patience, often)
	require.Empty(t, produced, "the client has an answer")
	p.link.Heal()
	require.NoError(t, <-produced, "it asks again, and is known")
	require.EqualValues(t, 2, end(t, cluster.ListenAddrs(), topic, 2))
}

func TestBrokersComeAndGo(t *testing.T) {
	t.Parallel()
	topic := "orders"
	first, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	require.NoError(t, err)
	brokers := first.ListenAddrs()
	p := newProcess(t, brokers, topic)
	require.NoError(t, p.produce(p.client(), 0))
	first.Close()
	closedAtOnce(t, p.link.Brokers()[0])
	_, port, err := net.SplitHostPort(brokers[0])
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	second, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic), kfake.Ports(number))
	require.NoError(t, err)
	t.Cleanup(second.Close)
	require.NoError(t, p.produce(p.client(), 0))
}
