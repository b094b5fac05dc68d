package inboxkafka

import (
	"context"
	"time"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// Hooks observe a Consumer, for metrics and traces; package inbox/inboxotel has
// some. Each is optional, is called by the goroutines that work, and should
// return soon.
type Hooks struct {
	// Handling is called before a handler is, with the messages that it gets:
	// one, or the new ones of a batch. The handler is called with the context
	// that it returns, and done with the handler's error after, or that it
	// panicked. A transaction that is repeated calls it again.
	Handling func(ctx context.Context, messages []inbox.Message) (_ context.Context, done func(error))
	// Committed is called after each transaction.
	Committed func(Batch)
}

// observed calls the handler with the message as the cause of what it adds to an
// outbox, and with the hooks around.
func (c *Consumer) observed(handler apply.Handler, each bool) apply.Handler {
	return func(ctx context.Context, s *apply.Session, messages []inbox.Message) (err error) {
		if each {
			ctx = inbox.WithCause(ctx, messages[0])
		}
		if c.config.Hooks.Handling == nil {
			return handler(ctx, s, messages)
		}
		ctx, done := c.config.Hooks.Handling(ctx, messages)
		returned := false
		defer func() {
			if !returned { // it panics; apply makes an error of that
				done(&outcome.Error{Reason: outcome.Panic, Index: -1, Err: errPanic})
			}
		}()
		err = handler(ctx, s, messages)
		returned = true
		done(err)
		return err
	}
}

// beatEvery is how often the owner of partitions shows that it is there.
const beatEvery = 5 * time.Second

// beat writes how the partitions do into the database, for tandem inbox status.
func (c *Consumer) beat(ctx context.Context) {
	if c.config.Delivery == AtMostOnce {
		return
	}
	trouble := trouble{log: c.config.Logger}
	for wait(ctx, beatEvery) {
		facts := map[apply.Fence]any{}
		for _, p := range c.Stats().Partitions {
			if p.fence != nil {
				facts[*p.fence] = p
			}
		}
		if len(facts) == 0 {
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, beatEvery)
		err := c.apply.Beat(attempt, facts)
		cancel()
		if ctx.Err() != nil {
			return
		}
		c.stats.beaten(err)
		switch {
		case err != nil:
			trouble.warn("beat", "cannot show in the database how the partitions do, trying again", "error", err)
		default:
			trouble.over()
		}
	}
}
