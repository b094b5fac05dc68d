package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// Savepoints is how many messages a transaction of an Unrecorded Applier should
// have at most: each has a savepoint, so that none is handled twice because
// another one failed, and more than 64 of them in a transaction overflow a cache
// and slow every snapshot of the server.
const Savepoints = 50

// handleOnce calls the handler for each message, whatever became of the others.
// What failed gets the verdict Lost.
func (a *Applier) handleOnce(ctx context.Context, s *Session, items []Item, messages []inbox.Message, from []int) (handled int, err error) {
	exec := func(statement string) error {
		if _, err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		return nil
	}
	for n, i := range from {
		if err := exec("SAVEPOINT message"); err != nil {
			return handled, err
		}
		err := a.call(ctx, s, messages[n:n+1], from[n:n+1], n)
		items[i].Verdict = a.lost(ctx, s, err)
		switch {
		case err == nil:
			handled++
			err = exec("RELEASE SAVEPOINT message")
		case items[i].Verdict != nil:
			err = exec("ROLLBACK TO SAVEPOINT message")
		}
		if err != nil {
			return handled, err
		}
	}
	return handled, nil
}

// lost is the verdict on a message whose handler failed, or whose statements met
// a conflict; nil where there is none, or the transaction is gone.
func (a *Applier) lost(ctx context.Context, s *Session, err error) *Verdict {
	var f *Failure
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, ErrEnded) || s.conn.IsClosed():
		return nil
	case !errors.As(err, &f):
		return &Verdict{State: Lost, Err: err}
	case f.Outcome.Kind == outcome.Skip:
		return f.Skip()
	}
	return &Verdict{State: Lost, Err: f.Err, Stack: f.Stack, Reason: f.Outcome.Reason}
}
