package integration_test

import (
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// BenchmarkPublisher sends 600,000 events of 200 bytes from memory, acks=all, six
// partitions at a time, with Publisher.Publish and beside it with kafka-go's
// Client.Produce, headers made beforehand.
func BenchmarkPublisher(b *testing.B) {
	const partitions, requests, size = 6, 100, 1000
	events := publisherEvents(size)
	brokers := testservers.Kafka(b)
	p := newKafkaPublisher(b, brokers)
	transport := &kafka.Transport{MetadataTTL: time.Minute}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 20 * time.Second, Transport: transport}
	headers := []kafka.Header{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("01a200ee-719d-7284-b6d5-bcc759e2786a")},
		{Key: "ce_source", Value: []byte("/tandem/test")}, {Key: "ce_type", Value: []byte("order.placed")},
		{Key: "ce_time", Value: []byte("2026-01-01T00:00:00.000000Z")},
	}
	for _, way := range []struct {
		name string
		send func(topic string, partition int) error
	}{
		{"tandem", func(topic string, partition int) error { return p.Publish(b.Context(), topic, partition, events) }},
		{"kafka-go", func(topic string, partition int) error {
			records := make([]kafka.Record, size)
			for i, e := range events {
				records[i] = kafka.Record{Key: kafka.NewBytes(e.Key), Value: kafka.NewBytes(e.Payload), Headers: headers, Time: e.CreatedAt}
			}
			answer, err := client.Produce(b.Context(), &kafka.ProduceRequest{
				Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
			if err != nil {
				return err
			}
			return answer.Error
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			topic := testservers.Topic(b, partitions)
			transport.CloseIdleConnections() // with what it knows of topics
			require.NoError(b, way.send(topic, 0))
			b.ReportAllocs()
			for b.Loop() {
				var lanes sync.WaitGroup
				for partition := range partitions {
					lanes.Go(func() {
						for range requests {
							if err := way.send(topic, partition); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				lanes.Wait()
			}
			b.ReportMetric(float64(b.N*partitions*requests*size)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
