package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/integration/bench/rivals"
	"github.com/tandem-outbox/tandem/internal/bench"
)

// arrivals takes the time of each event between the return of COMMIT and its
// arrival at a consumer.
type arrivals struct {
	start               time.Time
	committed, received []atomic.Int64 // nanoseconds since start; 0 is not yet

	mu         sync.Mutex
	auditor    *bench.Auditor
	first, all chan struct{} // closed when event 0 and when all have arrived
}

func newArrivals(events int) *arrivals {
	return &arrivals{
		start: time.Now(), committed: make([]atomic.Int64, events), received: make([]atomic.Int64, events),
		auditor: bench.NewAuditor(events), first: make(chan struct{}), all: make(chan struct{}),
	}
}

// commit notes that COMMIT of an event has returned.
func (a *arrivals) commit(n int) { a.committed[n].Store(int64(time.Since(a.start))) }

// receive reads the topic with kafka-go's reader, one a partition, until ctx ends.
func (a *arrivals) receive(ctx context.Context, site rivals.Site) error {
	readers, ctx := errgroup.WithContext(ctx)
	for partition := range rivals.Partitions {
		readers.Go(func() (err error) {
			reader := kafka.NewReader(kafka.ReaderConfig{
				Brokers: site.Brokers, Topic: site.Topic, Partition: partition, MinBytes: 1, MaxBytes: 10 << 20, MaxWait: time.Second,
			})
			defer func() { err = errors.Join(err, reader.Close()) }()
			for {
				m, err := reader.ReadMessage(ctx)
				if ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				a.record(m, int64(time.Since(a.start)))
			}
		})
	}
	return readers.Wait()
}

func (a *arrivals) record(m kafka.Message, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	complete := a.auditor.Complete()
	n := a.auditor.Record(m.Key, m.Value)
	if n >= 0 && a.received[n].CompareAndSwap(0, at) && n == 0 {
		close(a.first)
	}
	if !complete && a.auditor.Complete() {
		close(a.all)
	}
}

func (a *arrivals) audit() bench.Audit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.auditor.Result()
}

// latency is that of the events from one number up to and without another. What
// was there before COMMIT had returned counts as a microsecond.
func (a *arrivals) latency(from, to int) (bench.Latency, error) {
	h := bench.NewHistogram()
	for n := from; n < to; n++ {
		at := a.received[n].Load()
		if at == 0 {
			continue
		}
		took := time.Duration(at - a.committed[n].Load())
		if err := h.RecordValue(max(1, took.Microseconds())); err != nil {
			return bench.Latency{}, err
		}
	}
	return bench.LatencyOf(h), nil
}
