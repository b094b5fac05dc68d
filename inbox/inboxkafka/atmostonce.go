package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// turnOnce is turn for AtMostOnce: the offset first, the handler after, and what
// fails is lost.
func (p *partition) turnOnce(ctx, work context.Context) error {
	if len(p.live.items) == 0 && !p.fill(ctx, fetchWait) {
		return nil
	}
	n := min(len(p.live.items), p.config.BatchSize, apply.Savepoints)
	batch := p.live.items[:n]
	for i := range batch {
		if err := p.prepareOnce(&batch[i]); err != nil {
			return err
		}
	}
	if !p.offsets.commitNow(ctx, batch[n-1].Message.Offset+1) {
		// Whether it was committed is not known; only an answer that says so
		// allows the handler to be called.
		return nil
	}
	p.live.items = p.live.items[n:]
	started := time.Now()
	result, err := p.apply.Apply(work, nil, batch)
	if errors.Is(err, apply.ErrEnded) {
		return fmt.Errorf("inboxkafka: %w", err)
	}
	if err != nil {
		for i := range batch {
			batch[i].Verdict = &apply.Verdict{State: apply.Lost, Err: err}
		}
	}
	p.settled(batch, result, time.Since(started))
	for i := range batch {
		if v := batch[i].Verdict; v != nil && outcome.Of(v.Err).Kind == outcome.Stop {
			return &StoppedError{Message: batch[i].Message, Err: v.Err}
		}
	}
	return nil
}

// prepareOnce applies the policies: what may not be parked is lost.
func (p *partition) prepareOnce(item *apply.Item) error {
	if item.Prepared {
		return nil
	}
	if err := p.config.prepare(item); err != nil {
		return err
	}
	if v := item.Verdict; v != nil && v.State != apply.Skipped {
		v.State = apply.Lost
	}
	return nil
}

// lost says that messages are gone.
func (p *partition) lost(item *apply.Item) {
	v := item.Verdict
	attrs := []any{"message_id", item.Message.ID, "offset", item.Message.Offset, "error", v.Err}
	if v.Stack != nil {
		attrs = append(attrs, "stack", string(v.Stack))
	}
	p.setAside.report(slog.LevelWarn, "a message of an at-most-once consumer was not handled, and is lost", attrs...)
}
