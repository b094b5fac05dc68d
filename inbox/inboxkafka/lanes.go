package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
)

const (
	// lookEvery is how often an owner looks whether an operator has changed
	// what is set aside, while anything is.
	lookEvery = time.Second
	// manyLanes is how many lanes are tried at a time.
	manyLanes = 100
)

// lanes is what the owner of a partition knows of tandem.inbox_aside: which lanes
// are held, and when the first message of each is to be tried. Nobody else sets
// messages of the partition aside, and what operators do is told by the count of
// changes; so it is true until that count changes or the claim is lost.
type lanes struct {
	held    map[apply.Lane]lane
	waiting map[apply.Lane]time.Time // of those held, when they are to be tried; the others wait for an operator
	rows    int64                    // messages that are set aside
	changed int64                    // the count of changes that this is of
	looked  time.Time
	unknown bool // to be read anew
}

type lane struct {
	scope apply.Scope
	grown bool // messages were added since it was last read
}

// hold notes a lane; due is zero where an operator decides.
func (l *lanes) hold(name apply.Lane, scope apply.Scope, due time.Time) {
	if l.held == nil {
		l.held, l.waiting = map[apply.Lane]lane{}, map[apply.Lane]time.Time{}
	}
	if scope == apply.None && due.IsZero() {
		l.free(name) // it holds nothing and waits for an operator
		return
	}
	l.held[name] = lane{scope: scope, grown: l.held[name].grown}
	delete(l.waiting, name)
	if !due.IsZero() {
		l.waiting[name] = due
	}
}

func (l *lanes) free(name apply.Lane) {
	delete(l.held, name)
	delete(l.waiting, name)
}

// grow notes that a message was added behind the first of a lane; or, with
// false, that all there are have been read.
func (l *lanes) grow(name apply.Lane, grown bool) {
	if lane, held := l.held[name]; held {
		lane.grown = grown
		l.held[name] = lane
	}
}

// stale tells whether to look at the table.
func (l *lanes) stale(now time.Time) bool {
	return l.unknown || l.rows > 0 && now.Sub(l.looked) >= lookEvery
}

// blocked tells whether something holds the whole partition.
func (l *lanes) blocked() bool {
	_, held := l.held[""]
	return held
}

// until is the time until the next lane is due or the table is to be looked at,
// limit at most.
func (l *lanes) until(now time.Time, limit time.Duration) time.Duration {
	if l.rows > 0 {
		limit = min(limit, lookEvery)
	}
	for _, due := range l.waiting {
		if limit = min(limit, due.Sub(now)); limit <= 0 {
			return 0
		}
	}
	return limit
}

// due returns lanes that are to be tried now.
func (l *lanes) due(now time.Time) []apply.Lane {
	var due []apply.Lane
	for name, at := range l.waiting {
		if !at.After(now) {
			if due = append(due, name); len(due) == manyLanes {
				break
			}
		}
	}
	slices.Sort(due)
	return due
}

// holder names this process to people.
func holder() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// claim takes the partition over.
func (p *partition) claim(ctx context.Context) {
	fence, changed, err := p.apply.Claim(ctx, p.topic, p.id, holder())
	switch {
	case err == nil:
		p.fence = fence
		p.lanes = lanes{unknown: true, changed: changed}
		p.aside.items = nil
		p.blocked = time.Time{}
	case ctx.Err() != nil:
	case apply.Conflict(err):
		p.inTheWay(ctx, err)
	default:
		p.applying.warn("claim", "cannot take the partition over, trying again", "error", err)
		p.outages.wait(ctx)
	}
}

// inTheWay waits for the transaction of the owner before this one, and ends it
// when it should have ended by itself.
func (p *partition) inTheWay(ctx context.Context, err error) {
	if p.blocked.IsZero() {
		p.blocked = time.Now()
	}
	if time.Since(p.blocked) < p.config.IdleTimeout+p.config.LockTimeout {
		p.conflict(ctx, "the owner of the partition before this one is still in a transaction; waiting for its end", err)
		return
	}
	p.blocked = time.Time{}
	n, err := p.apply.Evict(ctx, p.topic, p.id, holder())
	if n > 0 || err == nil {
		p.log.Warn("the owner of the partition before this one stood still in a transaction beyond Config.IdleTimeout; its session was ended", "sessions", n)
	}
	if err != nil && ctx.Err() == nil {
		p.applying.warn("evict", "the owner of the partition before this one stands still in a transaction, and its session cannot be ended: end it, or that process", "error", err)
		p.outages.wait(ctx)
	}
}

// load learns what is set aside.
func (p *partition) load(ctx context.Context) {
	if !p.lanes.unknown { // the count tells whether it still is
		changed, err := p.apply.Changed(ctx, p.fence)
		if err != nil {
			p.notLoaded(ctx, err)
			return
		}
		p.lanes.looked = time.Now()
		p.applying.overOf("load")
		if changed == p.lanes.changed {
			return
		}
	}
	heads, rows, changed, err := p.apply.Heads(ctx, p.fence)
	if err != nil {
		p.notLoaded(ctx, err)
		return
	}
	now := time.Now()
	p.lanes = lanes{rows: rows, changed: changed, looked: now}
	for _, h := range heads {
		var due time.Time
		if h.Due >= 0 {
			due = now.Add(h.Due)
		}
		p.lanes.hold(h.Lane, h.Scope, due)
	}
	p.aside = queue{limit: p.config.BatchSize}
	p.outages.reset()
	p.applying.overOf("claim", "load", "fenced", "conflict")
}

func (p *partition) notLoaded(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, apply.ErrFenced):
		p.fence = nil
		p.conflicts.wait(ctx)
	default:
		p.applying.warn("load", "cannot read what is set aside of the partition, trying again", "error", err)
		p.outages.wait(ctx)
	}
}

// fetchDue reads the first messages of the lanes that are to be tried. A lane
// that has none is free.
func (p *partition) fetchDue(ctx context.Context) {
	due := p.lanes.due(time.Now())
	if len(due) == 0 {
		return
	}
	items, whole, err := p.apply.Rows(ctx, p.fence, due, p.config.BatchSize, p.config.FetchBytes)
	if err != nil {
		p.notLoaded(ctx, err)
		return
	}
	for i := range items {
		cloudevent.Read(&items[i].Message)
	}
	p.aside.items, p.aside.all, p.aside.lanes = items, whole, due
	for _, name := range due {
		p.lanes.grow(name, false)
	}
	if whole && len(items) == 0 {
		p.release(time.Now())
	}
}

// release frees the lanes of which every message was read and is done.
func (p *partition) release(now time.Time) {
	if !p.aside.all {
		return
	}
	for _, name := range p.aside.lanes {
		if at, waits := p.lanes.waiting[name]; waits && !at.After(now) && !p.lanes.held[name].grown {
			p.lanes.free(name)
		}
	}
}

// learn keeps the lanes true after a transaction.
func (p *partition) learn(item *apply.Item, now time.Time) {
	v := item.Verdict
	switch {
	case item.Aside != 0 && (v == nil || v.State == apply.Skipped):
		p.lanes.rows--
		p.lanes.hold(item.Lane, p.lanes.held[item.Lane].scope, now) // what is behind it may be tried
	case v == nil || v.State == apply.Skipped:
	case v.State == apply.Held && item.Aside == 0:
		p.lanes.rows++
		p.lanes.grow(v.Lane, true)
	case v.State == apply.Held:
	default:
		var due time.Time
		if v.State == apply.Retrying {
			due = now.Add(v.Pause)
		}
		if item.Aside != 0 {
			p.lanes.hold(item.Lane, p.lanes.held[item.Lane].scope, due)
			return
		}
		p.lanes.rows++
		p.lanes.hold(v.Lane, v.Scope, due)
	}
}

// heldKeys counts the lanes in which something waits or may come to wait.
func (l *lanes) heldKeys() int {
	n := 0
	for lane := range maps.Values(l.held) {
		if lane.scope != apply.None {
			n++
		}
	}
	return n
}
