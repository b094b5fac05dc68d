package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// errDrained is why a batch was rolled back that took longer than DrainTimeout.
var errDrained = errors.New("the partition was to be given up and DrainTimeout is over")

// manyConflicts is how many conflicts in a row are worth a warning.
const manyConflicts = 10

// partition is one partition for the length of one generation.
type partition struct {
	*member
	topic  string
	id     int
	log    *slog.Logger
	commit func(offset int64) error // of what was processed, exclusive

	next       int64           // what to fetch next
	pending    []inbox.Message // fetched and not yet applied
	identified int             // how many of pending have their ID

	failures, conflicts, fetches   backoff
	conflicted                     int // conflicts in a row
	applying, fetching, committing trouble
}

func (m *member) newPartition(topic string, id int, offset int64, commit func(int64) error) *partition {
	log := m.config.Logger.With("topic", topic, "partition", id)
	return &partition{
		member: m, topic: topic, id: id, log: log, commit: commit, next: offset,
		failures:   backoff{min: m.config.RetryMin, max: m.config.RetryMax},
		conflicts:  backoff{min: 10 * time.Millisecond, max: time.Second},
		fetches:    backoff{min: 100 * time.Millisecond, max: 5 * time.Second},
		applying:   trouble{log: log},
		fetching:   trouble{log: log},
		committing: trouble{log: log},
	}
}

// run applies batch after batch until ctx ends. The batch in work is applied
// under the context work, which ends later. An error ends the whole Run.
func (p *partition) run(ctx, work context.Context) error {
	for ctx.Err() == nil {
		if len(p.pending) == 0 {
			if !p.fill(ctx) {
				continue
			}
		}
		n, err := p.applyBatch(work)
		if errors.Is(err, apply.ErrEnded) {
			return fmt.Errorf("inboxkafka: %w", err)
		}
		if err != nil {
			if work.Err() != nil {
				p.log.Warn("rolled back a batch", "offset", p.pending[0].Offset, "reason", context.Cause(work))
				return nil //nolint:nilerr // the batch is the next owner's
			}
			p.pauseAfter(ctx, err)
			continue
		}
		p.succeeded(n)
	}
	return nil
}

// applyBatch applies the first of the pending messages, and returns how many.
// It cuts the batch before a message without an id, so that this one blocks
// only what is behind it.
func (p *partition) applyBatch(ctx context.Context) (int, error) {
	n := min(len(p.pending), p.config.BatchSize)
	for i := p.identified; i < n; i++ {
		id, err := p.identify(p.pending[i])
		if err == nil {
			p.pending[i].ID = id
			p.identified++
			continue
		}
		if i == 0 {
			return 0, &apply.Failure{Message: &p.pending[0], Err: err}
		}
		n = i
	}
	_, err := p.apply.Apply(ctx, p.pending[:n])
	return n, err
}

var errNoID = errors.New("the message has no id: it has no ce_id header and Config.MessageID gave none; without one it cannot be told from a duplicate")

// identify asks for the message's id.
func (p *partition) identify(m inbox.Message) (id string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("Config.MessageID: %w\n%s", &apply.PanicError{Value: r}, debug.Stack())
		}
	}()
	id, err = p.config.MessageID(m)
	if err != nil {
		return "", fmt.Errorf("Config.MessageID: %w", err)
	}
	if id == "" {
		return "", errNoID
	}
	return id, nil
}

// succeeded commits the offset after n messages.
func (p *partition) succeeded(n int) {
	offset := p.pending[n-1].Offset + 1
	p.pending, p.identified = p.pending[n:], p.identified-n
	if len(p.pending) == 0 {
		p.pending = nil // the memory
		offset = p.next // also past what holds no message, such as markers
	}
	p.conflicted = 0
	p.failures.reset()
	p.conflicts.reset()
	p.applying.over()
	p.commitOffset(offset)
}

func (p *partition) commitOffset(offset int64) {
	if err := p.commit(offset); err != nil {
		p.committing.warn("commit", "could not commit an offset: messages before it may be delivered again, and will be known", "offset", offset, "error", err)
		return
	}
	p.committing.over()
}

// pauseAfter says what went wrong, once, and waits before the next attempt.
func (p *partition) pauseAfter(ctx context.Context, err error) {
	var failure *apply.Failure
	switch {
	case errors.As(err, &failure):
		p.reportFailure(failure)
		p.failures.wait(ctx)
	case apply.Conflict(err):
		if p.conflicted++; p.conflicted >= manyConflicts {
			p.applying.warn("conflict", "a batch meets conflict after conflict in the database and is repeated", "offset", p.pending[0].Offset, "error", err)
		}
		p.conflicts.wait(ctx)
	default:
		p.applying.warn("database", "the database does not take a batch, it is repeated", "offset", p.pending[0].Offset, "error", err)
		p.failures.wait(ctx)
	}
}

func (p *partition) reportFailure(f *apply.Failure) {
	if f.Message == nil {
		p.applying.error("commit", "a batch cannot be committed; the partition is blocked, the batch is repeated",
			"offset", p.pending[0].Offset, "error", f.Err)
		return
	}
	attrs := []any{"message_id", f.Message.ID, "offset", f.Message.Offset, "error", f.Err}
	if f.Stack != nil {
		attrs = append(attrs, "stack", string(f.Stack))
	}
	state := fmt.Sprintf("failure at %d, panic %t", f.Message.Offset, f.Stack != nil)
	p.applying.error(state, "a message failed; the partition is blocked, the message's batch is repeated", attrs...)
}

// fill fetches messages, for as long as BatchWait where they are few. It
// returns whether there are any.
func (p *partition) fill(ctx context.Context) bool {
	before := p.next
	if !p.fetchOnce(ctx, fetchWait) {
		return false
	}
	if len(p.pending) == 0 {
		if before >= 0 && p.next > before {
			p.commitOffset(p.next)
		}
		return false
	}
	deadline := time.Now().Add(p.config.BatchWait)
	for len(p.pending) < p.config.BatchSize && ctx.Err() == nil {
		left := time.Until(deadline)
		if left <= 0 || !p.fetchOnce(ctx, min(left, fetchWait)) {
			break
		}
	}
	return true
}

// fetchOnce appends what one request brings, and returns whether it succeeded.
func (p *partition) fetchOnce(ctx context.Context, wait time.Duration) bool {
	if p.next < 0 {
		first, _, err := p.fetch.bounds(ctx, p.topic, p.id)
		if err != nil {
			return p.fetchFailed(ctx, err)
		}
		p.next = first
	}
	messages, next, err := p.fetch.fetch(ctx, p.topic, p.id, p.next, wait)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		p.outOfRange(ctx)
		return false
	}
	if err != nil {
		return p.fetchFailed(ctx, err)
	}
	p.fetching.over()
	p.fetches.reset()
	p.pending, p.next = append(p.pending, messages...), next
	return true
}

func (p *partition) fetchFailed(ctx context.Context, err error) bool {
	if ctx.Err() == nil {
		p.fetching.warn("fetch", "cannot fetch messages, trying again", "offset", p.next, "error", err)
		p.fetches.wait(ctx)
	}
	return false
}
