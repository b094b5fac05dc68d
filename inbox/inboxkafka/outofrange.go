package inboxkafka

import (
	"context"
	"fmt"
)

// outOfRange decides where to go on when the message at the offset is gone.
func (p *partition) outOfRange(ctx context.Context) {
	first, last, err := p.fetch.bounds(ctx, p.topic, p.id)
	if err == nil && p.next >= first && p.next <= last {
		err = fmt.Errorf("the broker refuses offset %d, and says that it has %d to %d", p.next, first, last)
	}
	if err != nil {
		p.fetchFailed(ctx, err)
		return
	}
	attrs := []any{"offset", p.next, "first", first, "last", last}
	if !p.config.SkipDeleted {
		p.fetching.error("deleted", "the messages at the group's offset were deleted; the partition is blocked. "+
			"To go on at the first that there is, accepting what is missing, set Config.SkipDeleted or the group's offset", attrs...)
		p.fetches.wait(ctx)
		return
	}
	p.log.Error("messages were deleted before they were consumed; going on at the first that there is", attrs...)
	p.next = first
}
