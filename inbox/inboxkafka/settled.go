package inboxkafka

import (
	"log/slog"
	"time"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// summary is what was done since the Consumer was made, for people.
func (s *stats) summary(group string) []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var t Totals
	for _, topic := range s.topics {
		t.add(*topic)
	}
	return []any{"group", group, "batches", t.Batches, "handled", t.Handled, "duplicates", t.Duplicates, "retried", t.Retried,
		"failed", t.Failed, "parked", t.Parked, "held", t.Held, "skipped", t.Skipped, "lost", t.Lost}
}

// settled takes notice of what a transaction has committed.
func (p *partition) settled(batch []apply.Item, result apply.Result, took time.Duration) {
	now := time.Now()
	b := Batch{Topic: p.topic, Partition: p.id, Took: took, Size: len(batch), Handled: result.Handled}
	for i := range batch {
		item := &batch[i]
		if item.Verdict != nil && item.Verdict.State == apply.Lost {
			b.Lost++
			p.lost(item)
			continue
		}
		if p.fence != nil {
			p.learn(item, now)
		}
		p.count(&b, item)
	}
	if p.fence != nil {
		p.lanes.looked = now
		p.lanes.unknown = p.lanes.unknown || result.Stored || result.Changed != p.lanes.changed
	}
	p.stats.add(b)
	if p.config.Hooks.Committed != nil {
		p.config.Hooks.Committed(b)
	}
}

// count adds a message to a batch's figures, and logs what an operator should
// know of.
func (p *partition) count(b *Batch, item *apply.Item) {
	if item.Aside != 0 && item.Message.Attempt > 1 {
		b.Retried++
	}
	v, m := item.Verdict, &item.Message
	if v == nil {
		if item.Known {
			b.Duplicates++
		}
		return
	}
	attrs := []any{"message_id", m.ID, "offset", m.Offset, "reason", v.Reason, "error", v.Err}
	if v.Stack != nil {
		attrs = append(attrs, "stack", string(v.Stack))
	}
	switch v.State {
	case apply.Held:
		if item.Aside == 0 {
			b.Held++
		}
	case apply.Retrying:
		b.Failed++
		p.setAside.report(slog.LevelWarn, "a message failed and will be tried again", append(attrs, "attempts", v.Attempts, "after", v.Pause.Round(time.Millisecond))...)
	case apply.Parked:
		b.Parked++
		p.setAside.report(slog.LevelError, "a message is parked: see tandem inbox parked", append(attrs, "attempts", v.Attempts, "hint", v.Hint)...)
	case apply.Skipped:
		b.Skipped++
		p.setAside.report(slog.LevelWarn, "a message is skipped, for good", attrs...)
	}
}
