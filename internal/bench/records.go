package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

const (
	fetchBytes = 1 << 20
	fetchWait  = 500 * time.Millisecond
)

// record is one of a topic. Its slices are the receiver's.
type record struct {
	offset     int64
	key, value []byte
}

// fetch returns the records of a partition at and after offset, none where
// there are none yet.
func (s *Site) fetch(ctx context.Context, topic string, partition int, offset int64) ([]record, error) {
	res, err := s.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait,
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, fmt.Errorf("fetch from %s/%d: %w", topic, partition, err)
	}
	var records []record
	for {
		r, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read a record of %s/%d: %w", topic, partition, err)
		}
		if r.Offset < offset { // a batch begins before what was asked for
			continue
		}
		got := record{offset: r.Offset}
		if got.key, err = kafka.ReadAll(r.Key); err != nil {
			return nil, err
		}
		if got.value, err = kafka.ReadAll(r.Value); err != nil {
			return nil, err
		}
		records = append(records, got)
	}
}

// auditTopic reads a topic from its beginning to its end.
func (s *Site) auditTopic(ctx context.Context, topic string, partitions int, auditor *Auditor) error {
	ends, err := s.ends(ctx, topic, partitions)
	if err != nil {
		return err
	}
	var total int64
	for _, end := range ends {
		total += end
	}
	var mu sync.Mutex
	var done atomic.Int64
	defer s.progress.follow("audit: records read back", total, done.Load)()
	all, ctx := errgroup.WithContext(ctx)
	for partition, end := range ends {
		all.Go(func() error {
			for next := int64(0); next < end; {
				records, err := s.fetch(ctx, topic, partition, next)
				if err != nil {
					return err
				}
				mu.Lock()
				for _, r := range records {
					auditor.Record(r.key, r.value)
					next = r.offset + 1
				}
				mu.Unlock()
				done.Add(int64(len(records)))
			}
			return nil
		})
	}
	return all.Wait()
}
