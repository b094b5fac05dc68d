package relay

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// topic spreads a topic's events over its lanes, one for each partition. While
// the number of partitions is not known, or about to change, events wait here:
// a key that moves to another lane must not overtake itself. Events that may not
// go now are set aside, and come back by a flow; see flow.go.
type topic struct {
	*term
	name string

	mu      sync.Mutex
	lanes   []*lane // one for each partition; empty while unknown
	waiting []*item
	holding bool // a new number of partitions waits for the lanes to be empty
	joining bool // the end of a flow waits for the lanes to be empty
	under   int  // handed to lanes and not yet off the books
	turn    int  // the lane for the next event without a key

	held     map[string]struct{} // keys whose events go behind stored ones
	aside    bool                // so do all events
	refusing bool                // aside, because record after record was refused
	refusals
	flow      *flow // under way
	flowDue   bool  // another one is wanted
	trouble   string
	since     time.Time
	published atomic.Int64

	special atomic.Bool // held, aside, a stuck lane, a flow or a refusal: look closer

	pushed  []*item       // the dispatcher's own
	arrived chan struct{} // something begins to wait, or the lanes have become empty
	emptied chan struct{} // the lanes have become empty during a flow
	flowing chan struct{} // a flow is wanted
}

// dispatch hands events, in order of position, to their topics.
func (t *term) dispatch(items []*item) {
	t.dispatching.Lock()
	defer t.dispatching.Unlock()
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
	t.topicsMu.Lock()
	defer t.topicsMu.Unlock()
	tp, ok := t.topics[name]
	if !ok {
		tp = &topic{
			term: t, name: name, held: map[string]struct{}{},
			arrived: make(chan struct{}, 1), emptied: make(chan struct{}, 1), flowing: make(chan struct{}, 1),
		}
		t.topics[name] = tp
		t.working.Go(func() { t.end(tp.watch(t.taking)) })
		t.working.Go(func() { t.end(tp.flows(t.taking)) })
	}
	return tp
}

// push takes events from the log and scheduled ones whose time has come.
func (tp *topic) push(items []*item) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	switch {
	case tp.joining: // what is set aside now would be left behind
	case tp.aside:
		tp.keepAside(items, nil)
		return
	case len(tp.lanes) > 0 && !tp.holding && len(tp.waiting) == 0:
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

// keepAside sets events aside that may not go on: those of the topic, or of one
// of its lanes. At-most-once events are not worth keeping. Stored ones stay as
// they are, but for the scheduled, who now wait as the others do; those whose
// lane has failed are marked, so that the flow does not fetch them again.
func (tp *topic) keepAside(items []*item, lane *lane) {
	what := asideEntry{State: stateWaiting, Reason: tp.trouble}
	if lane != nil {
		what.Lane, what.Lanes, what.Reason = &lane.partition, len(tp.lanes), lane.trouble
	}
	var kept, lost, stored, failed []*item
	for _, it := range items {
		switch {
		case it.once != atLeastOnce:
			lost = append(lost, it)
		case it.from == nil || it.scheduled:
			kept = append(kept, it)
			if key, ok := it.key(); ok && lane != nil { // of a topic the end of a flow reads which are held
				tp.hold(key)
			}
		case lane != nil && lane.failed && it.Replay == 0:
			failed = append(failed, it)
		default:
			stored = append(stored, it)
		}
	}
	tp.stats.deferred.Add(int64(len(kept)))
	tp.setAside(kept, what)
	tp.lose(lost, errTopicAside)
	tp.done(stored)
	what.State = stateKept
	tp.setAside(failed, what)
}

func (tp *topic) hold(key string) {
	tp.held[key] = struct{}{}
	tp.special.Store(true)
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
			n = partitionOf(it.hash, len(tp.lanes))
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
	tp.under += len(items)
	return left
}

// leave is told when events of the topic have left their lane for good. Called
// with tp.mu held.
func (tp *topic) leave(n int) {
	tp.under -= n
	if tp.under > 0 {
		return
	}
	if tp.holding {
		notify(tp.arrived)
	}
	if tp.flow != nil {
		notify(tp.emptied)
	}
}

// resize takes a number of partitions over once no event is under way in the
// present lanes; held means that some are.
func (tp *topic) resize(n int) (held bool) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if n != len(tp.lanes) {
		if tp.under > 0 {
			tp.holding = true
			return true
		}
		if len(tp.lanes) > 0 {
			tp.log.Info("the topic's number of partitions has changed", "topic", tp.name, "from", len(tp.lanes), "to", n)
		}
		tp.setLanes(n)
	}
	tp.holding = false
	if tp.flowDue || tp.aside {
		notify(tp.flowing)
	}
	if !tp.joining {
		tp.goOn()
	}
	return false
}

// goOn routes what has been waiting.
func (tp *topic) goOn() {
	waiting := tp.waiting
	tp.waiting = nil
	if tp.aside {
		tp.keepAside(waiting, nil)
	} else if len(tp.lanes) > 0 && !tp.holding {
		waiting = tp.route(waiting)
		tp.wait(waiting)
	} else {
		tp.wait(waiting)
	}
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

// putAside sets all events of the topic aside from now on, until a flow has
// brought back what is stored. Called with tp.mu held.
func (tp *topic) putAside(why error) {
	if tp.flow != nil {
		tp.flow.failed = true
	}
	if !tp.aside {
		tp.log.Warn("the topic's events are set aside until it can be written to", "topic", tp.name, "error", why)
	}
	tp.aside = true
	tp.special.Store(true)
	tp.fails(why)
	tp.wantFlow()
	if !tp.joining {
		tp.goOn()
	}
}

// fails keeps for people what is wrong and since when.
func (tp *topic) fails(why error) {
	if tp.trouble == "" {
		tp.since = tp.now()
	}
	tp.trouble = why.Error()
}

func (tp *topic) wantFlow() {
	tp.flowDue = true
	notify(tp.flowing)
}

func (tp *topic) stranded() int {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	n := 0
	if len(tp.lanes) == 0 && tp.trouble != "" {
		n = len(tp.waiting)
	}
	for _, l := range tp.lanes {
		n += l.stranded()
	}
	return n
}
