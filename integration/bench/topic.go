package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/bench"
)

// auditTimeout bounds how long the audit waits for the next records.
const auditTimeout = 30 * time.Second

// written is how many records a topic has.
func (s *servers) written(ctx context.Context, topic string) (int, error) {
	ends, err := s.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	if err := ends.Error(); err != nil {
		return 0, err
	}
	sum := 0
	for _, partition := range ends[topic] {
		sum += int(partition.Offset)
	}
	return sum, nil
}

// audit reads a topic back from its start and counts its records.
func (s *servers) audit(ctx context.Context, topic string, events int) (bench.Audit, error) {
	left, err := s.written(ctx, topic)
	if err != nil {
		return bench.Audit{}, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(8<<20))
	if err != nil {
		return bench.Audit{}, err
	}
	defer client.Close()
	auditor := bench.NewAuditor(events)
	for left > 0 {
		waiting, cancel := context.WithTimeoutCause(ctx, auditTimeout, fmt.Errorf("the topic has %d more records than can be read", left))
		fetches := client.PollFetches(waiting)
		err := context.Cause(waiting)
		cancel()
		if err != nil {
			return bench.Audit{}, err
		}
		if err := fetches.Err(); err != nil {
			return bench.Audit{}, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			auditor.Record(r.Key, r.Value)
			left--
		})
	}
	return auditor.Result(), nil
}
