package relay

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// watchEvery is how often a topic is asked for its partitions.
	watchEvery = 5 * time.Second
	// retryEvery is how often what was set aside is tried again.
	retryEvery = 2 * time.Second
)

// watch finds out how many partitions the topic has, now and from time to time,
// and sees to what waits for that.
func (tp *topic) watch(ctx context.Context) error {
	p := &patience{term: tp.term, trouble: newTrouble(tp.log.With("topic", tp.name), tp.now)}
	defer p.end()
	var pause backoff
	for ctx.Err() == nil {
		n, err := tp.cfg.Publisher.Partitions(ctx, tp.name)
		if err == nil && n < 1 {
			err = errors.New("it has no partitions")
		}
		if ctx.Err() != nil {
			return nil
		}
		var wait time.Duration // zero: until the lanes are empty
		switch {
		case err != nil:
			wait = tp.unknown(p, &pause, err)
		case !tp.resize(n):
			wait = tp.known(p, &pause, n)
		}
		if undecided := tp.decideInTime(); undecided > 0 && (wait == 0 || undecided < wait) {
			wait = undecided
		}
		if tp.await(ctx, wait) != nil {
			break
		}
	}
	return nil
}

// unknown: the brokers do not say how many partitions there are.
func (tp *topic) unknown(p *patience, pause *backoff, err error) time.Duration {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if len(tp.waiting) == 0 && !tp.aside && !tp.flowDue {
		return watchEvery // what nothing waits for is nobody's trouble
	}
	tp.fails(err)
	if p.failed("cannot learn the topic's partitions; its events wait", err) && !tp.aside {
		tp.putAside(err)
	}
	if tp.aside {
		p.end()
	}
	if len(tp.waiting) == 0 {
		return retryEvery
	}
	return min(pause.next(), 250*time.Millisecond)
}

// known: what still waits asks for a partition that does not exist, or for the
// end of a flow.
func (tp *topic) known(p *patience, pause *backoff, n int) time.Duration {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if len(tp.waiting) == 0 || tp.joining {
		if !tp.aside {
			tp.trouble = ""
			p.over("the topic's events go on")
		}
		pause.reset()
		return watchEvery
	}
	it := tp.waiting[0]
	err := fmt.Errorf("it asks for partition %d, the topic has 0 to %d", it.Partition, n-1)
	lasts := p.trouble.failed("an event asks for a partition that does not exist; the topic's events wait", err)
	patient := lasts <= time.Second || !tp.tracker.pressed()
	if patient && lasts <= tp.cfg.TopicTimeout {
		tp.fails(err)
		return pause.next()
	}
	tp.waiting = tp.waiting[1:]
	tp.park(it, err)
	tp.goOn()
	return time.Millisecond
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
