package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

// lane is the send queue of one partition: at most one request is under way, so
// the order in the queue is the order in the partition.
type lane struct {
	*topic
	partition int
	staged    []*item // the topic's own, while it routes

	mu     sync.Mutex
	queue  []*item
	closed bool
	wake   chan struct{}
}

func (l *lane) enqueue(items []*item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, items...)
	notify(l.wake)
}

// close ends a lane whose partition is no more; it is empty.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	notify(l.wake)
}

// run publishes what is queued until nothing more may be taken.
func (l *lane) run() error {
	var batch []*item
	var events []*Event
	for l.taking.Err() == nil {
		var closed bool
		batch, closed = l.take(batch[:0])
		if closed {
			return nil
		}
		if len(batch) == 0 {
			select {
			case <-l.taking.Done():
			case <-l.wake:
			}
			continue
		}
		var err error
		if events, err = l.publish(batch, events); err != nil {
			return err
		}
		clear(batch)
	}
	return nil
}

// take removes up to one request's worth of events from the queue.
func (l *lane) take(batch []*item) (_ []*item, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := 0
	for _, it := range l.queue {
		size := len(it.Key) + len(it.Headers) + len(it.Payload) + eventOverhead
		if len(batch) > 0 && (len(batch) == l.cfg.BatchEvents || bytes+size > l.cfg.BatchBytes) {
			break
		}
		batch = append(batch, it)
		bytes += size
	}
	rest := l.queue[len(batch):]
	if len(rest) == 0 {
		clear(l.queue)
		l.queue = l.queue[:0]
	} else {
		l.queue = rest
	}
	return batch, l.closed
}

// publish sends the batch until it is acknowledged. A batch that the broker
// will not take as it is is halved, first half first, until the event at fault
// stands alone: so none overtakes another. The scratch slice comes back for reuse.
func (l *lane) publish(batch []*item, scratch []*Event) ([]*Event, error) {
	scratch = scratch[:0]
	for _, it := range batch {
		scratch = append(scratch, &it.Event)
	}
	err := l.send(batch, scratch)
	if err == nil {
		l.stats.published.Add(int64(len(batch)))
		l.tracker.acknowledge(batch)
		l.acknowledged(len(batch))
		return scratch, nil
	}
	if verdict(err) != RefusedRecords {
		return scratch, err
	}
	if len(batch) == 1 {
		return scratch, l.refused(batch[0], l.partition, err)
	}
	half := len(batch) / 2
	if scratch, err = l.publish(batch[:half], scratch); err != nil {
		return scratch, err
	}
	return l.publish(batch[half:], scratch)
}

// send repeats one request until it is acknowledged, refused for a record's
// sake, or the lane may no longer publish.
func (l *lane) send(batch []*item, events []*Event) error {
	trouble := newTrouble(l.log.With("topic", l.name, "partition", l.partition), l.now)
	var pause backoff
	for {
		if err := l.taking.Err(); err != nil {
			return err
		}
		if l.lease.left(l.now()) <= 0 {
			return errLeaseLost
		}
		l.stats.requests.Add(1)
		err := l.cfg.Publisher.Publish(l.publishing, l.name, l.partition, events)
		if err == nil {
			trouble.over("publishing goes on")
			return nil
		}
		if l.publishing.Err() != nil {
			return err
		}
		switch verdict(err) {
		case RefusedRecords:
			return err
		case RefusedTopic:
			if trouble.failed("the topic cannot be written to; its events wait", err) > l.cfg.TopicTimeout {
				return l.refused(batch[0], l.partition, err)
			}
		default:
			trouble.failed("publishing fails; the same events are tried again, in order", err)
		}
		l.stats.retries.Add(1)
		if err := sleep(l.taking, pause.next()); err != nil {
			return err
		}
	}
}

// refused names the event for whose sake the relay ends.
func (t *term) refused(it *item, partition int, err error) error {
	return &RefusedError{
		ID: uuid.UUID(it.ID).String(), Topic: it.Topic, Partition: partition, Key: string(it.Key), Position: it.Position, Err: err,
	}
}

// ended tells whether err only says that the lane was told to stop.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (passing(err) || errors.Is(err, ctx.Err()))
}

// backoff doubles from 20 ms to 1 s.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, 20*time.Millisecond), time.Second)
	return b.last
}

func (b *backoff) reset() { b.last = 0 }
