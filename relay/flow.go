package relay

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// flow brings stored events of a topic back through its lanes: after its trouble
// is over, when an operator asks for it, and at the start of a term, when nobody
// knows what has happened meanwhile.
//
//	0  Where new events are set aside without passing a lane, what the lanes still
//	   have is waited for; at the start of a term, what is read again.
//	1  Pages of what nothing holds any more, in order of position, are handed to
//	   the lanes. New events of the same keys are still set aside, behind.
//	2  Joining: new events wait in memory for a moment. Once the lanes are empty
//	   and all that was set aside is saved, what has come meanwhile follows.
//	3  When there is nothing left, the keys that still have stored events are read
//	   from the table; they, and lanes that are stuck, stay held. All else is live.
//
// A stored event leaves the table with the save after its acknowledgement. A
// crash before that repeats it; a crash at any other place changes nothing,
// because what is held follows from what is stored.
type flow struct {
	*topic
	trial  bool // the topic refused record after record when it began
	failed bool // under the topic's lock

	mu      sync.Mutex
	out     int // handed to lanes and not settled
	doubted int // of them, suspects
	changed chan struct{}
}

func (f *flow) sent(it *item) {
	f.stats.released.Add(1)
	f.asides.release(it.Position)
}

func (f *flow) settle(*item) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out--
	notify(f.changed)
}

func (f *flow) doubt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doubted += n
	notify(f.changed)
}

// wait returns when every event is settled but those in doubt.
func (f *flow) wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		left := f.out - f.doubted
		f.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.changed:
		}
	}
}

// flows runs a flow whenever one is wanted, and again while something is stuck.
func (tp *topic) flows(ctx context.Context) error {
	trouble := newTrouble(tp.log.With("topic", tp.name), tp.now)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-tp.flowing:
		}
		for tp.flowWanted() && ctx.Err() == nil {
			if err := tp.runFlow(ctx); err != nil && ctx.Err() == nil {
				trouble.failed("events that were set aside cannot be read", err)
			} else {
				trouble.over("events that were set aside can be read again")
			}
			if tp.flowWanted() && sleep(ctx, retryEvery) != nil {
				return nil //nolint:nilerr // the end of the term is no failure of the topic's
			}
		}
	}
	return nil
}

// flowWanted: without lanes there is nothing to be done yet; resize will tell.
func (tp *topic) flowWanted() bool {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.flowDue && len(tp.lanes) > 0
}

func (tp *topic) runFlow(ctx context.Context) (err error) {
	f := tp.beginFlow()
	defer func() { tp.endFlow(err) }()
	if err := f.drain(ctx); err != nil || f.over() {
		return err
	}
	for {
		if err := f.pages(ctx); err != nil || f.over() {
			return err
		}
		if done, err := f.join(ctx); err != nil || done || f.over() {
			return err
		}
	}
}

func (tp *topic) beginFlow() *flow {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.flow = &flow{topic: tp, trial: tp.refusing, changed: make(chan struct{}, 1)}
	tp.flowDue = false
	tp.accepted, tp.again = false, nil
	for _, l := range tp.lanes {
		l.failed = false
	}
	tp.special.Store(true)
	return tp.flow
}

// endFlow: what could not be sent is tried again after a while.
func (tp *topic) endFlow(err error) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.flow, tp.joining = nil, false
	if err != nil || tp.aside || tp.stuck() != nil {
		tp.flowDue = true
	}
	tp.goOn()
}

// busy tells whether a flow is under way, or wanted and not known to be in vain.
func (tp *topic) busy() bool {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if tp.flow != nil {
		return true
	}
	return tp.flowDue && tp.trouble == "" && tp.stuck() == nil
}

func (tp *topic) stuck() (partitions []int32) {
	for _, l := range tp.lanes {
		if l.stuck {
			partitions = append(partitions, int32(l.partition))
		}
	}
	return partitions
}

// over tells whether the topic cannot be written to after all.
func (f *flow) over() bool {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	return f.failed
}

// except are the partitions that have failed in this flow, of how many, and the
// keys that were refused in it: what an operator asks for once more meanwhile is
// for the next flow.
func (f *flow) except() (failed []int32, of int, again []string) {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	for _, l := range f.lanes {
		if l.failed {
			failed = append(failed, int32(l.partition))
		}
	}
	return failed, len(f.lanes), slices.AppendSeq([]string{}, maps.Keys(f.again))
}

// drain waits until what comes before stored events is sent or stored too: where
// all new events are set aside at once, what the lanes still had; and what an
// earlier term had under way when it ended, which this one reads again.
func (f *flow) drain(ctx context.Context) error {
	f.topic.mu.Lock()
	aside := f.aside
	f.topic.mu.Unlock()
	if aside {
		if err := f.empty(ctx); err != nil {
			return err
		}
	}
	for f.ahead && !f.tracker.checkpoint().own {
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	if !aside && !f.ahead {
		return nil
	}
	return f.flush(ctx)
}

// pages sends what is there, page after page, until one is not full: writers may
// go on for ever. Each page begins with the first stored event, and what was sent
// has left the table before: between two pages an operator may free a key, or
// an earlier event of one may be set aside, that the first page has passed.
func (f *flow) pages(ctx context.Context) error {
	for {
		items, err := f.store.eligible(ctx, f.name, f.except)
		if err != nil || len(items) == 0 {
			return err
		}
		if err := f.send(ctx, items); err != nil || f.over() || !f.store.full(items) {
			return err
		}
		if err := f.flush(ctx); err != nil {
			return err
		}
	}
}

// send hands a page to the lanes and waits until all of it is settled. Records
// that were refused are parked now, unless the topic has not shown that it takes
// any.
func (f *flow) send(ctx context.Context, items []*item) error {
	for _, it := range items {
		it.from = f
	}
	f.mu.Lock()
	f.out += len(items)
	f.mu.Unlock()
	if err := f.handOn(ctx, items); err != nil {
		return err
	}
	if err := f.wait(ctx); err != nil {
		return err
	}
	f.topic.mu.Lock()
	if f.refusing && !f.accepted {
		f.acquit()
		f.failed = true
	} else {
		f.convict()
	}
	f.topic.mu.Unlock()
	return f.wait(ctx)
}

// handOn routes the events, once no change of the partitions is under way.
func (f *flow) handOn(ctx context.Context, items []*item) error {
	for {
		f.topic.mu.Lock()
		if !f.holding && len(f.lanes) > 0 {
			for len(items) > 0 {
				if items = f.route(items); len(items) > 0 {
					f.park(items[0], errNoPartition)
					items = items[1:]
				}
			}
			f.topic.mu.Unlock()
			return nil
		}
		f.topic.mu.Unlock()
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// join ends the flow if little enough is left; else it returns false for another
// round of pages.
func (f *flow) join(ctx context.Context) (done bool, err error) {
	f.topic.mu.Lock()
	f.joining = true
	f.topic.mu.Unlock()
	defer func() {
		f.topic.mu.Lock()
		defer f.topic.mu.Unlock()
		f.joining = false
		f.goOn()
	}()
	for {
		if err := f.empty(ctx); err != nil {
			return false, err
		}
		if err := f.flush(ctx); err != nil {
			return false, err
		}
		items, err := f.store.eligible(ctx, f.name, f.except)
		switch {
		case err != nil:
			return false, err
		case len(items) == 0:
			return true, f.live(ctx)
		case f.store.full(items):
			return false, nil
		}
		if err := f.send(ctx, items); err != nil || f.over() {
			return false, err
		}
	}
}

// empty waits until no event of the topic is under way.
func (f *flow) empty(ctx context.Context) error {
	for {
		f.topic.mu.Lock()
		under := f.under
		f.topic.mu.Unlock()
		if under == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.emptied:
		}
	}
}

// live ends the exception for all but the keys that still have stored events and
// the partitions that are stuck.
func (f *flow) live(ctx context.Context) error {
	held, err := f.store.heldKeys(ctx, f.name)
	if err != nil {
		return err
	}
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	special := len(held) > 0 || f.run > 0
	over := f.aside
	for _, l := range f.lanes {
		over = over || l.stuck && !l.failed
		l.stuck = l.failed
		special = special || l.stuck
	}
	if over {
		f.log.Info("what was set aside has been sent; the topic's events go on", "topic", f.name)
	}
	f.held, f.aside, f.refusing, f.trouble = held, false, false, ""
	f.special.Store(special)
	return nil
}
