package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// probeMax is the longest pause between two messages where all fail.
const probeMax = 5 * time.Second

// manyConflicts is how many conflicts in a row are worth a warning.
const manyConflicts = 10

// errDrained is why a batch was rolled back that took longer than DrainTimeout.
var errDrained = errors.New("the partition was to be given up and DrainTimeout is over")

// partition is one partition for the length of one generation. It is worked on
// by one goroutine, turn by turn:
//
//	claim ──► load ──► stored messages that are due ──► messages of the broker ─┐
//	  ▲         ▲             │      ▲                                          │
//	  │ fenced  │ changed     │      └──────────────────────────────────────────┘
//	  └─────────┴─────────────┘
//
// Each of the two sources is a queue, and a step applies the first messages of a
// queue in one transaction. What fails there gets a verdict (verdict.go), with
// which the next step carries on; what is held because of it stays in lanes
// (lanes.go).
type partition struct {
	*member
	topic   string
	id      int
	log     *slog.Logger
	offsets *offsets

	fence   *apply.Fence // nil until the partition is claimed
	blocked time.Time    // since when its owner before is in the way
	lanes   lanes        // what is set aside
	next    int64        // what to fetch next
	end     int64        // the broker's end of the partition, as last heard
	live    queue        // fetched and not yet applied
	aside   queue        // read from tandem.inbox_aside

	streak int       // different messages that failed since one succeeded
	resume time.Time // live messages wait until then: the streak is too long

	probes, conflicts  backoff
	outages, fetches   backoff
	conflicted         int // conflicts in a row
	applying, fetching trouble
	breaking           trouble // message after message fails
	setAside           seldom
	state              *PartitionStats
}

// queue is messages in the order in which they are to be applied.
type queue struct {
	items []apply.Item
	// limit is how many of them the next step takes at most: fewer than a batch
	// after a failure, to find out which message it was or to commit those
	// before it.
	limit int

	// Of messages that were set aside: the lanes that were read, but for those
	// that were set aside again, and whether all their messages were.
	lanes []apply.Lane
	all   bool
}

func (m *member) newPartition(topic string, id int, offset int64, commit func(int64) error) *partition {
	log := m.config.Logger.With("topic", topic, "partition", id)
	state := m.stats.partition(topic, id)
	return &partition{
		member: m, topic: topic, id: id, log: log, next: offset, end: -1, state: state,
		offsets:   newOffsets(commit, trouble{log: log}, state),
		live:      queue{limit: m.config.BatchSize},
		aside:     queue{limit: m.config.BatchSize},
		probes:    backoff{min: m.config.RetryMin, max: max(m.config.RetryMin, min(m.config.RetryMax, probeMax))},
		conflicts: backoff{min: 10 * time.Millisecond, max: time.Second},
		outages:   backoff{min: 100 * time.Millisecond, max: 5 * time.Second},
		fetches:   backoff{min: 100 * time.Millisecond, max: 5 * time.Second},
		applying:  trouble{log: log},
		fetching:  trouble{log: log},
		breaking:  trouble{log: log},
		setAside:  seldom{log: log},
	}
}

// run applies batch after batch until ctx ends. The batch in work is applied
// under the context work, which ends later. An error ends the whole Run.
func (p *partition) run(ctx, work context.Context) error {
	defer p.publish(false)
	p.publish(true)
	go p.offsets.run()
	defer p.offsets.close()
	turn := p.turn
	if p.config.Delivery == AtMostOnce {
		turn = p.turnOnce
	}
	for ctx.Err() == nil && work.Err() == nil {
		if err := turn(ctx, work); err != nil {
			return err
		}
		p.publish(true)
	}
	return nil
}

// turn does the next thing that there is to do, or waits for there to be one.
func (p *partition) turn(ctx, work context.Context) error {
	if p.fence == nil {
		p.claim(ctx)
		return nil
	}
	if p.lanes.stale(time.Now()) {
		p.load(ctx)
		return nil
	}
	if len(p.aside.items) == 0 {
		p.fetchDue(ctx)
	}
	if len(p.aside.items) > 0 {
		if err := p.step(ctx, work, &p.aside); err != nil || p.fence == nil || p.lanes.unknown {
			return err
		}
	}
	if pause := p.restFor(time.Now()); pause > 0 {
		wait(ctx, pause)
		return nil
	}
	if len(p.live.items) == 0 && !p.fill(ctx, p.lanes.until(time.Now(), fetchWait)) {
		return nil
	}
	return p.step(ctx, work, &p.live)
}

// restFor is how long live messages have to wait, though there may be some.
func (p *partition) restFor(now time.Time) time.Duration {
	var pause time.Duration
	if p.lanes.blocked() {
		pause = lookEvery
	}
	pause = max(pause, p.resume.Sub(now))
	if pause <= 0 {
		return 0
	}
	return max(p.lanes.until(now, pause), time.Millisecond)
}

// step applies the first messages of a queue in one transaction. An error ends
// Run.
func (p *partition) step(ctx, work context.Context, q *queue) error {
	n, err := p.plan(q)
	if err != nil {
		return err
	}
	batch := q.items[:n]
	started := time.Now()
	result, err := p.apply.Apply(work, p.fence, batch)
	if err != nil {
		return p.failed(ctx, work, q, n, err)
	}
	if result.Handled > 0 {
		p.streak, p.resume = 0, time.Time{}
		p.probes.reset()
		p.breaking.over()
	}
	q.items, q.limit = q.items[n:], p.config.BatchSize
	if p.broken() {
		q.limit = 1
	}
	p.conflicted = 0
	p.conflicts.reset()
	p.outages.reset()
	p.applying.over()
	p.settled(batch, result, time.Since(started))
	if q == &p.live {
		p.commitAfter(batch)
	} else {
		q.leave(batch)
		if len(q.items) == 0 {
			p.release(time.Now())
		}
	}
	return nil
}

// leave drops the messages of lanes whose first message has failed again: they
// are held, and are read anew when that one is due.
func (q *queue) leave(settled []apply.Item) {
	held := map[apply.Lane]bool{}
	for i := range settled {
		if v := settled[i].Verdict; v != nil && v.State != apply.Skipped {
			held[settled[i].Lane] = true
		}
	}
	if len(held) > 0 {
		q.items = slices.DeleteFunc(q.items, func(item apply.Item) bool { return held[item.Lane] })
		q.lanes = slices.DeleteFunc(q.lanes, func(name apply.Lane) bool { return held[name] })
	}
}

// commitAfter commits the offset of what was applied.
func (p *partition) commitAfter(batch []apply.Item) {
	offset := batch[len(batch)-1].Message.Offset + 1
	if len(p.live.items) == 0 {
		p.live.items = nil // the memory
		offset = p.next    // also past what holds no message, such as markers
	}
	p.offsets.set(offset)
}

// failed decides what a step's error means, and waits where to repeat it at once
// would be in vain. An error ends Run.
func (p *partition) failed(ctx, work context.Context, q *queue, n int, err error) error {
	offset := q.items[0].Message.Offset
	var failure *apply.Failure
	switch {
	case errors.Is(err, apply.ErrEnded):
		return fmt.Errorf("inboxkafka: %w", err)
	case work.Err() != nil:
		p.log.Warn("gave up a batch; what of it was not committed comes again", "offset", offset, "reason", context.Cause(work))
		return nil //nolint:nilerr // the batch is the next owner's
	case errors.Is(err, apply.ErrFenced):
		p.applying.warn("fenced", "a batch was rolled back: another consumer has taken the partition over", "offset", offset, "error", err)
		p.fence = nil
		p.conflicts.wait(ctx)
	case errors.Is(err, apply.ErrChanged):
		p.lanes.unknown = true
	case errors.As(err, &failure):
		return p.judge(q, n, failure)
	case apply.Conflict(err):
		p.conflict(ctx, "a batch meets conflict after conflict in the database and is repeated", err)
	default:
		p.applying.warn("database", "the database does not take a batch, it is repeated", "offset", offset, "error", err)
		p.outages.wait(ctx)
	}
	return nil
}

// conflict waits before what met a lock of somebody else is tried again.
func (p *partition) conflict(ctx context.Context, message string, err error) {
	if p.conflicted++; p.conflicted >= manyConflicts {
		p.applying.warn("conflict", message, "error", err)
	}
	p.conflicts.wait(ctx)
}
