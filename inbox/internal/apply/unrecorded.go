package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/tandem-outbox/tandem/inbox"
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
		var f *Failure
		switch {
		case errors.As(err, &f):
			items[i].Verdict = &Verdict{State: Lost, Err: f.Err, Stack: f.Stack, Reason: f.Outcome.Reason}
			err = exec("ROLLBACK TO SAVEPOINT message")
		case err == nil:
			handled++
			err = exec("RELEASE SAVEPOINT message")
		}
		if err != nil {
			return handled, err
		}
	}
	return handled, nil
}
