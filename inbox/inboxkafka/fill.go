package inboxkafka

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// fill fetches messages, for as long as BatchWait where they are few, and waits
// for the first of them for that long. It returns whether there are any.
func (p *partition) fill(ctx context.Context, patience time.Duration) bool {
	before := p.next
	if !p.fetchOnce(ctx, patience) {
		return false
	}
	if len(p.live.items) == 0 {
		if before >= 0 && p.next > before {
			p.offsets.set(p.next)
		}
		return false
	}
	deadline := time.Now().Add(p.config.BatchWait)
	for len(p.live.items) < p.config.BatchSize && ctx.Err() == nil {
		left := time.Until(deadline)
		if left <= 0 || !p.fetchOnce(ctx, min(left, fetchWait)) {
			break
		}
	}
	return true
}

// fetchOnce appends what one request brings, and returns whether it succeeded.
func (p *partition) fetchOnce(ctx context.Context, patience time.Duration) bool {
	if p.next < 0 {
		first, _, err := p.fetch.bounds(ctx, p.topic, p.id)
		if err != nil {
			return p.fetchFailed(ctx, err)
		}
		p.next = first
		p.state.applied(first)
	}
	got, err := p.fetch.fetch(ctx, p.topic, p.id, p.next, patience)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		p.outOfRange(ctx)
		return false
	}
	if err != nil {
		return p.fetchFailed(ctx, err)
	}
	p.fetching.over()
	p.fetches.reset()
	p.live.items = slices.Grow(p.live.items, len(got.messages))
	for _, m := range got.messages {
		m.Attempt = 1
		p.live.items = append(p.live.items, apply.Item{Message: m})
	}
	p.next, p.end = got.next, max(got.end, got.next)
	return true
}

func (p *partition) fetchFailed(ctx context.Context, err error) bool {
	if ctx.Err() == nil {
		p.fetching.warn("fetch", "cannot fetch messages, trying again", "offset", p.next, "error", err)
		p.fetches.wait(ctx)
	}
	return false
}
