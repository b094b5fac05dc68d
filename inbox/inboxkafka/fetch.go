package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/tandem-outbox/tandem/inbox"
)

const (
	// fetchWait is how long the broker holds a request while there is nothing.
	fetchWait = 500 * time.Millisecond
	// fetchGrace is how much longer than that an answer may take, before the
	// connection is taken for dead.
	fetchGrace = 10 * time.Second
	// readCommitted keeps the broker from sending what a transaction has not
	// committed yet.
	readCommitted = 1
)

// fetcher reads partitions. It speaks kafka-go's Fetch protocol directly:
// Client.Fetch and Reader hide which transactions were aborted and deliver
// their records, and hide the markers that offsets have to move past.
type fetcher struct {
	transport *kafka.Transport
	brokers   net.Addr
	maxBytes  int32
}

func newFetcher(transport *kafka.Transport, c Config) *fetcher {
	return &fetcher{transport: transport, brokers: kafka.TCP(c.Brokers...), maxBytes: int32(c.FetchBytes)}
}

// fetched is what one request brought.
type fetched struct {
	messages []inbox.Message // there may be none, and next move all the same
	next     int64           // the offset to go on at
	end      int64           // of the partition
}

// fetch returns the messages at and after offset.
func (f *fetcher) fetch(ctx context.Context, topic string, partition int, offset int64, wait time.Duration) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+fetchGrace)
	defer cancel()
	m, err := f.transport.RoundTrip(ctx, f.brokers, &fetch.Request{
		ReplicaID:      -1,
		MaxWaitTime:    int32(wait.Milliseconds()),
		MinBytes:       1,
		MaxBytes:       f.maxBytes,
		IsolationLevel: readCommitted,
		SessionID:      -1,
		SessionEpoch:   -1,
		Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: f.maxBytes,
		}}}},
	})
	if err != nil {
		return fetched{}, err
	}
	response := m.(*fetch.Response)
	if response.ErrorCode != 0 {
		return fetched{}, kafka.Error(response.ErrorCode)
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return fetched{}, errors.New("the broker's answer lacks the partition")
	}
	answer := &response.Topics[0].Partitions[0]
	if answer.ErrorCode != 0 {
		return fetched{}, kafka.Error(answer.ErrorCode)
	}
	d := decoder{topic: topic, partition: partition, asked: offset, next: offset, aborted: newAborted(answer.AbortedTransactions)}
	err = d.read(answer.RecordSet.Records)
	return fetched{messages: d.messages, next: d.next, end: answer.LastStableOffset}, err
}

// bounds returns the partition's first offset, and the one after its last.
func (f *fetcher) bounds(ctx context.Context, topic string, partition int) (first, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchGrace)
	defer cancel()
	client := kafka.Client{Addr: f.brokers, Transport: f.transport}
	response, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)},
	}})
	if err != nil {
		return 0, 0, err
	}
	for _, p := range response.Topics[topic] {
		if p.Partition == partition {
			return max(p.FirstOffset, 0), p.LastOffset, p.Error
		}
	}
	return 0, 0, fmt.Errorf("the broker's answer lacks %s/%d", topic, partition)
}
