package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// topic spreads a topic's events over its lanes, one for each partition. While
// the number of partitions is not known, or about to change, events wait here:
// a key that moves to another lane must not overtake itself.
type topic struct {
	*term
	name string

	mu      sync.Mutex
	lanes   []*lane // one for each partition; empty while unknown
	waiting []*item
	holding bool // a new number of partitions waits for the lanes to be empty
	sent    int  // handed to lanes and not yet acknowledged
	turn    int  // the lane for the next event without a key

	pushed  []*item       // the dispatcher's own
	arrived chan struct{} // something begins to wait, or the lanes have become empty
}

// dispatch hands events, in order of position, to their topics. Only the reader
// calls it.
func (t *term) dispatch(items []*item) {
	var touched []*topic
	var last *topic
	for _, it := range items {
		if last == nil || last.name != it.Topic {
			last = t.topic(it.Topic)
		}
		if len(last.pushed) == 0 {
			touched = append(touched, last)
		}
		last.pushed = append(last.pushed, it)
	}
	for _, tp := range touched {
		tp.push(tp.pushed)
		clear(tp.pushed)
		tp.pushed = tp.pushed[:0]
	}
}

// topic returns the topic of that name, and begins to look after it.
func (t *term) topic(name string) *topic {
	tp, ok := t.topics[name]
	if !ok {
		tp = &topic{term: t, name: name, arrived: make(chan struct{}, 1)}
		t.topics[name] = tp
		t.working.Go(func() { t.end(tp.watch(t.taking)) })
	}
	return tp
}

func (tp *topic) push(items []*item) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if len(tp.lanes) > 0 && !tp.holding && len(tp.waiting) == 0 {
		items = tp.route(items)
	}
	tp.wait(items)
}

func (tp *topic) wait(items []*item) {
	if len(items) > 0 && len(tp.waiting) == 0 {
		notify(tp.arrived)
	}
	tp.waiting = append(tp.waiting, items...)
}

// route puts each event into the lane of its partition. It stops at one that
// asks for a partition beyond those that are known, and returns what is left:
// the topic may have grown.
func (tp *topic) route(items []*item) (left []*item) {
	beyond := func(it *item) bool { return int(it.Partition) >= len(tp.lanes) }
	if i := slices.IndexFunc(items, beyond); i >= 0 {
		items, left = items[:i], items[i:]
	}
	for _, it := range items {
		var n int
		switch {
		case it.Partition >= 0:
			n = int(it.Partition)
		case it.Key != nil:
			n = partitionOf(it.Key, len(tp.lanes))
		default:
			n = tp.turn % len(tp.lanes)
			tp.turn++
		}
		l := tp.lanes[n]
		l.staged = append(l.staged, it)
	}
	for _, l := range tp.lanes {
		if len(l.staged) > 0 {
			l.enqueue(l.staged)
			clear(l.staged)
			l.staged = l.staged[:0]
		}
	}
	tp.sent += len(items)
	return left
}

// acknowledged is told when events of the topic have left their lane.
func (tp *topic) acknowledged(n int) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.sent -= n
	if tp.holding && tp.sent == 0 {
		notify(tp.arrived)
	}
}

// watch finds out how many partitions the topic has, now and from time to time.
func (tp *topic) watch(ctx context.Context) error {
	const again = 5 * time.Second
	trouble := newTrouble(tp.log.With("topic", tp.name), tp.now)
	var pause backoff
	for ctx.Err() == nil {
		wait := again
		n, err := tp.cfg.Publisher.Partitions(ctx, tp.name)
		if err == nil && n < 1 {
			err = errors.New("it has no partitions")
		}
		held := err == nil && tp.resize(n)
		it := tp.firstWaiting()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of the term is no failure of the topic's
		case held:
			wait = 0 // until the lanes are empty
		case it == nil && err == nil:
			trouble.over("the topic's events go on")
			pause.reset()
		case it == nil: // what nothing waits for is nobody's trouble
		case err == nil:
			err = fmt.Errorf("it asks for partition %d, the topic has 0 to %d", it.Partition, n-1)
			if trouble.failed("an event asks for a partition that does not exist; the topic's events wait", err) > tp.cfg.TopicTimeout {
				return tp.refused(it, int(it.Partition), err)
			}
			wait = pause.next()
		case verdict(err) == RefusedTopic:
			if trouble.failed("the topic cannot be written to; its events wait", err) > tp.cfg.TopicTimeout {
				return tp.refused(it, -1, err)
			}
			wait = pause.next()
		default:
			trouble.failed("cannot learn the topic's partitions; its events wait", err)
			wait = pause.next()
		}
		if tp.await(ctx, wait) != nil {
			return nil //nolint:nilerr // the end of the term is no failure of the topic's
		}
	}
	return nil
}

// await returns after d, or with d zero never, and once something has arrived.
func (tp *topic) await(ctx context.Context, d time.Duration) error {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-over:
		return nil
	case <-tp.arrived:
		return nil
	}
}

func (tp *topic) firstWaiting() *item {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if len(tp.waiting) == 0 {
		return nil
	}
	return tp.waiting[0]
}

// resize takes a number of partitions over once no event is under way in the
// present lanes; held means that some are.
func (tp *topic) resize(n int) (held bool) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if n != len(tp.lanes) {
		if tp.sent > 0 {
			tp.holding = true
			return true
		}
		if len(tp.lanes) > 0 {
			tp.log.Info("the topic's number of partitions has changed", "topic", tp.name, "from", len(tp.lanes), "to", n)
		}
		tp.setLanes(n)
	}
	tp.holding = false
	waiting := tp.waiting
	tp.waiting = nil
	tp.waiting = tp.route(waiting)
	return false
}

func (tp *topic) setLanes(n int) {
	for len(tp.lanes) < n {
		l := &lane{topic: tp, partition: len(tp.lanes), wake: make(chan struct{}, 1)}
		tp.lanes = append(tp.lanes, l)
		tp.working.Go(func() { tp.end(l.run()) })
	}
	for len(tp.lanes) > n {
		l := tp.lanes[len(tp.lanes)-1]
		tp.lanes = tp.lanes[:len(tp.lanes)-1]
		l.close()
	}
}
