package rivals

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// requestRecords is how many records a request carries where it is our choice.
const requestRecords = 1000

// kafkaGo is the limit of what is built on kafka-go: Client.Produce, one goroutine a
// partition, 1,000 records a request. Records and headers are made as they are sent.
var kafkaGo = System{Name: "kafka-go", Memory: true, Ends: true, child: kafkaGoFromMemory}

// franzGo sends the same records with franz-go: one goroutine a partition, batches
// of up to 1 MB, a linger of 5 ms.
var franzGo = System{Name: "franz-go", Memory: true, Ends: true, child: franzGoFromMemory}

// stored is what an outbox would have of an event.
type stored struct {
	id      uuid.UUID
	key     []byte
	payload []byte
	at      time.Time
}

// stock makes the events, by the partitions they go to, before the clock starts.
func stock(events int) [Partitions][]stored {
	var all [Partitions][]stored
	for n := range events {
		e := EventOf(n)
		p := partitionOf(e.Key)
		all[p] = append(all[p], stored{uuid.MustParse(e.ID), []byte(e.Key), e.Payload, e.At})
	}
	return all
}

// partitionOf is a cheap and even way of keys to partitions.
func partitionOf(key string) int { return int(hash(key) % Partitions) }

// hash is FNV-1a.
func hash(key string) uint32 {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return h
}

func kafkaGoFromMemory(ctx context.Context, site Site) error {
	all := stock(site.Events)
	producer := newProducer(site)
	defer producer.close()
	begins()
	senders, ctx := errgroup.WithContext(ctx)
	for partition, events := range all {
		senders.Go(func() error {
			for len(events) > 0 {
				batch := events[:min(requestRecords, len(events))]
				if err := producer.produce(ctx, partition, batch); err != nil {
					return err
				}
				events = events[len(batch):]
			}
			return nil
		})
	}
	return senders.Wait()
}

// producer sends to a topic with kafka-go's Client.Produce, with the headers that
// Tandem sends.
type producer struct {
	topic  string
	client *kafka.Client
}

func newProducer(site Site) *producer {
	return &producer{topic: site.Topic, client: &kafka.Client{
		Addr: kafka.TCP(site.Brokers...), Timeout: 20 * time.Second, Transport: &kafka.Transport{MetadataTTL: time.Minute},
	}}
}

func (p *producer) close() { p.client.Transport.(*kafka.Transport).CloseIdleConnections() }

func (p *producer) produce(ctx context.Context, partition int, events []stored) error {
	records := make([]kafka.Record, len(events))
	for i, e := range events {
		records[i] = kafka.Record{Key: kafka.NewBytes(e.key), Value: kafka.NewBytes(e.payload), Time: e.at, Headers: []kafka.Header{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte(e.id.String())},
			{Key: "ce_source", Value: []byte(source)},
			{Key: "ce_type", Value: []byte(eventType)},
			{Key: "ce_time", Value: e.at.UTC().AppendFormat(nil, time.RFC3339Nano)},
		}}
	}
	res, err := p.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: p.topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err != nil {
		return err
	}
	return res.Error
}

func franzGoFromMemory(ctx context.Context, site Site) error {
	all := stock(site.Events)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(site.Brokers...),
		kgo.DefaultProduceTopic(site.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchMaxBytes(1_000_000),
		kgo.MaxBufferedRecords(100_000),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	begins()
	var failed error
	var once sync.Once
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			once.Do(func() { failed = err })
		}
	}
	var senders sync.WaitGroup
	for partition, events := range all {
		senders.Go(func() {
			for _, e := range events {
				client.Produce(ctx, &kgo.Record{Partition: int32(partition), Key: e.key, Value: e.payload, Timestamp: e.at, Headers: []kgo.RecordHeader{
					{Key: "ce_specversion", Value: []byte("1.0")},
					{Key: "ce_id", Value: []byte(e.id.String())},
					{Key: "ce_source", Value: []byte(source)},
					{Key: "ce_type", Value: []byte(eventType)},
					{Key: "ce_time", Value: e.at.UTC().AppendFormat(nil, time.RFC3339Nano)},
				}}, done)
			}
		})
	}
	senders.Wait()
	if err := client.Flush(ctx); err != nil {
		return err
	}
	return failed
}
