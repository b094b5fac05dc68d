package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Handler makes the effects of messages in a transaction.
type Handler func(ctx context.Context, s *Session, messages []inbox.Message) error

// Config says for whom batches are applied, and how.
type Config struct {
	Database Database
	Schema   string
	Consumer string
	Handler  Handler
	// Each lets the handler be called for one message at a time.
	Each bool
	// Unrecorded leaves out the ids: every message is taken for new.
	Unrecorded bool
	// LockTimeout bounds how long a statement waits for a lock, and
	// IdleTimeout how long the transaction may wait for its client.
	LockTimeout, IdleTimeout time.Duration
}

// Applier applies batches. It may be used by many goroutines at a time.
type Applier struct {
	Config
	statements statements
	known      atomic.Pointer[bounds] // as the last batch found them; nil where none has
}

// New returns an Applier for a Config that has been checked.
func New(c Config) *Applier {
	return &Applier{Config: c, statements: statementsFor(c.Schema)}
}

// Fence is the claim of a partition under which its messages are applied.
type Fence struct {
	Topic     string
	Partition int
	Epoch     int64
}

func (f Fence) compare(g Fence) int {
	return cmp.Or(cmp.Compare(f.Topic, g.Topic), cmp.Compare(f.Partition, g.Partition))
}

// Result is what a transaction did that was committed.
type Result struct {
	Handled int
	// Changed is tandem.inbox_partition.changed.
	Changed int64
	// Stored tells that a message that was to be set aside was there already:
	// its offset was not committed then, and what the caller knows of its lane
	// may be wrong.
	Stored bool
}

// Apply handles the messages that are new to the consumer and have no verdict,
// in order, carries the verdicts out, and commits all of it. On an error nothing
// was done. A nil fence asks for no claim.
func (a *Applier) Apply(ctx context.Context, fence *Fence, items []Item) (result Result, err error) {
	b, err := a.sort(items)
	if err != nil {
		return Result{}, err
	}
	s, err := a.record(ctx, fence, b)
	if err != nil {
		return Result{}, err
	}
	committed := false
	defer func() { // also when the handler has ended its goroutine
		if !committed {
			s.abort(ctx)
		}
	}()
	if err := a.judge(fence, items, b); err != nil {
		return Result{}, err
	}
	result.Changed = b.found.changed
	if result.Handled, err = a.handle(ctx, s, items); err != nil {
		return Result{}, err
	}
	if err := a.settle(ctx, s, items, &result); err != nil {
		return Result{}, err
	}
	if err := s.commit(ctx); err != nil {
		return Result{}, commitError(err, result.Handled)
	}
	committed = true
	return result, nil
}

// handle calls the handler for what is new, and returns for how many.
func (a *Applier) handle(ctx context.Context, s *Session, items []Item) (handled int, err error) {
	messages := make([]inbox.Message, 0, len(items))
	from := make([]int, 0, len(items)) // the index in items of each of messages
	for i := range items {
		if items[i].Known || items[i].Verdict != nil {
			continue
		}
		messages, from = append(messages, items[i].Message), append(from, i)
	}
	if !a.Each && len(messages) > 0 {
		return len(messages), a.call(ctx, s, messages, from, 0)
	}
	if a.Unrecorded {
		return a.handleOnce(ctx, s, items, messages, from)
	}
	for n, i := range from {
		s.fresh()
		err := a.call(ctx, s, messages[n:n+1], from[n:n+1], n)
		var f *Failure
		if errors.As(err, &f) && f.Outcome.Kind == outcome.Skip && s.untouched() {
			items[i].Verdict = f.Skip()
			continue
		}
		if err != nil {
			return handled, err
		}
		handled++
	}
	return handled, nil
}

// call calls the handler once and decides what its error means. Before was the
// number of messages handled before in this transaction.
func (a *Applier) call(ctx context.Context, s *Session, messages []inbox.Message, from []int, before int) error {
	started := time.Now()
	stack, err := a.guarded(ctx, s, messages)
	failed := func(err error) error {
		f := &Failure{Index: -1, Handled: before, Err: err, Stack: stack, Outcome: outcome.Of(err)}
		if n := f.Outcome.Index; len(messages) == 1 {
			f.Index = from[0]
		} else if n >= 0 && n < len(from) {
			f.Index, f.Handled = from[n], before+n
		}
		return f
	}
	conn := s.conn
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil && a.IdleTimeout > 0 && time.Since(started) >= a.IdleTimeout && !conn.PgConn().IsBusy() && idled(conn.Ping(ctx)):
		return failed(errIdle)
	case idled(err):
		return failed(fmt.Errorf("%w: %w", errIdle, err))
	case conn.IsClosed() && gaveUp(err):
		return failed(err)
	case conn.IsClosed():
		return fmt.Errorf("the connection was lost during a batch: %w", cmp.Or(err, errLost))
	case conn.PgConn().TxStatus() == 'I':
		m := messages[0]
		return fmt.Errorf("%w (message %s at %s/%d offset %d)", ErrEnded, m.ID, m.Topic, m.Partition, m.Offset)
	case Repeats(err):
		return fmt.Errorf("repeat the batch: %w", err)
	case err != nil:
		return failed(err)
	case conn.PgConn().IsBusy():
		return failed(errBusy)
	case conn.PgConn().TxStatus() == 'E':
		return failed(errAborted)
	}
	return nil
}

// guarded makes a panic an error.
func (a *Applier) guarded(ctx context.Context, s *Session, messages []inbox.Message) (stack []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			stack, err = debug.Stack(), &PanicError{Value: p}
		}
	}()
	return nil, a.Handler(ctx, s, messages)
}

func statementsFor(name string) statements {
	in := func(statement string) string { return schema.Rewrite(statement, name) }
	return statements{
		fence: in(fenceSQL), covered: in(coveredSQL), timed: in(timedSQL), foreign: in(foreignSQL), late: in(lateSQL), bounds: in(boundsSQL), lock: in(lockSQL),
		store: in(storeSQL), again: in(againSQL), done: in(doneSQL), drop: in(dropSQL),
		claim: in(claimSQL), heads: in(headsSQL), count: in(countSQL), changed: in(changedSQL), rows: in(rowsSQL), beat: in(beatSQL),
	}
}
