package relay

import (
	"context"
	"errors"
	"sync"
	"time"
)

// lane is the send queue of one partition: at most one request is under way, so
// the order in the queue is the order in the partition.
type lane struct {
	*topic
	partition int
	staged    []*item // the topic's own, while it routes
	failing   bool    // trouble is set; its own goroutine's

	// Of the topic, and under its lock.
	stuck   bool   // its events are set aside, the partition cannot be written to
	failed  bool   // it could not in the present flow
	trouble string // why not

	mu      sync.Mutex
	queue   []*item
	sending int // events of the batch under way
	retries int // of it, so far
	closed  bool
	wake    chan struct{}
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

// take removes up to one request's worth of events from the queue. At-most-once
// events share no request with others, which may be repeated.
func (l *lane) take(batch []*item) (_ []*item, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := 0
	for _, it := range l.queue {
		size := it.size()
		if len(batch) > 0 && (len(batch) == l.cfg.BatchEvents || bytes+size > l.cfg.BatchBytes || it.once != batch[0].once) {
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
	l.sending, l.retries = len(batch), 0
	return batch, l.closed
}

// stranded is how many events wait for a partition that cannot be written to. A
// few failures, half a second's, are none yet: a stop waits for what they hold up.
func (l *lane) stranded() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retries < 5 {
		return 0
	}
	return l.sending + len(l.queue)
}

// publish sends the batch until it is acknowledged. A batch that the broker
// will not take as it is is halved, first half first, until the event at fault
// stands alone: so none overtakes another. What may not go, because its key is
// held by now, is taken out of the batch. The scratch slice comes back for reuse.
func (l *lane) publish(batch []*item, scratch []*Event) ([]*Event, error) {
	batch = l.admit(batch)
	if len(batch) == 0 {
		return scratch, nil
	}
	scratch = scratch[:0]
	for _, it := range batch {
		scratch = append(scratch, &it.Event)
	}
	err := l.send(batch, scratch)
	switch {
	case err == nil:
		if l.special.Load() {
			l.accept()
		}
		l.published.Add(int64(len(batch)))
		l.sent(batch)
		l.gone(len(batch))
		return scratch, nil
	case errors.Is(err, errLost):
		l.lose(batch, err)
		l.gone(len(batch))
		return scratch, nil
	case errors.Is(err, errStuck):
		return l.publish(batch, scratch) // nothing of it is admitted any more
	case verdict(err) != RefusedRecords:
		return scratch, err
	case len(batch) == 1:
		l.refuse(batch[0], err)
		return scratch, nil
	}
	half := len(batch) / 2
	if scratch, err = l.publish(batch[:half], scratch); err != nil {
		return scratch, err
	}
	return l.publish(batch[half:], scratch)
}

// gone takes events off the topic's count.
func (l *lane) gone(n int) {
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	l.leave(n)
}

// send repeats one request until it is acknowledged, refused for a record's
// sake, its events are to be set aside, or the lane may no longer publish.
func (l *lane) send(batch []*item, events []*Event) error {
	p := &patience{term: l.term, trouble: newTrouble(l.log.With("topic", l.name, "partition", l.partition), l.now)}
	defer p.end()
	trial := l.onTrial()
	var pause backoff
	for first := l.now(); ; {
		if err := l.taking.Err(); err != nil {
			return err
		}
		if l.lease.left(l.now()) <= 0 {
			return errLeaseLost
		}
		l.stats.requests.Add(1)
		err := l.cfg.Publisher.Publish(l.publishing, l.name, l.partition, events)
		if err == nil {
			l.succeeded(p)
			if acknowledged := l.cfg.Hooks.Acknowledged; acknowledged != nil {
				acknowledged(l.name, l.partition, events, l.now().Sub(first))
			}
			return nil
		}
		if l.publishing.Err() != nil {
			return err
		}
		switch {
		case verdict(err) == RefusedRecords: // the partition answers
			l.goesOn(p)
			return err
		case batch[0].once != atLeastOnce:
			return errors.Join(errLost, err)
		}
		over := p.failed("publishing fails; the same events are tried again, in order", err)
		// On trial the second failure decides: the first may be a connection
		// that has died of idleness.
		if over || trial && (verdict(err) == RefusedTopic || p.trouble.tries > 1) {
			l.giveUp(err)
			return errStuck
		}
		l.fails(err)
		l.stats.retries.Add(1)
		if err := sleep(l.taking, min(pause.next(), l.pace())); err != nil {
			return err
		}
	}
}

// pace: when memory is short a lane finds out sooner that it must give way.
func (l *lane) pace() time.Duration {
	if l.tracker.pressed() {
		return 100 * time.Millisecond
	}
	return time.Second
}

// onTrial tells whether the lane sends stored events to see whether it can.
func (l *lane) onTrial() bool {
	if !l.special.Load() {
		return false
	}
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	return l.aside || l.stuck
}

func (l *lane) fails(err error) {
	l.mu.Lock()
	l.retries++
	l.mu.Unlock()
	l.failing = true
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	if l.trouble == "" {
		l.since = l.now()
	}
	l.trouble = err.Error()
}

func (l *lane) succeeded(p *patience) {
	l.acked.Add(1)
	l.goesOn(p)
}

// goesOn ends the trouble, also that of a request before this one.
func (l *lane) goesOn(p *patience) {
	p.over("publishing goes on")
	if !l.failing {
		return
	}
	l.failing = false
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	l.trouble = ""
}

// giveUp sets the events of the topic aside, or of this partition alone.
func (l *lane) giveUp(err error) {
	l.failing = true
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	if verdict(err) == RefusedTopic {
		l.putAside(err)
		return
	}
	l.trouble = err.Error()
	if !l.stuck {
		l.log.Warn("the partition's events are set aside until it can be written to", "topic", l.name, "partition", l.partition, "error", err)
	}
	l.stuck, l.failed = true, true
	l.special.Store(true)
	l.wantFlow()
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
