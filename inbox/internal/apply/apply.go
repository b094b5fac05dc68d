package apply

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Handler makes the effects of one message in tx.
type Handler = func(ctx context.Context, tx pgx.Tx, m inbox.Message) error

// Config says for whom batches are applied, and how. Every field is required.
type Config struct {
	Pool     *pgxpool.Pool
	Schema   string
	Consumer string
	Handler  Handler
	// LockTimeout bounds how long a statement waits for a lock, and
	// IdleTimeout how long the transaction may wait for its client.
	LockTimeout, IdleTimeout time.Duration
}

// Applier applies batches. It may be used by many goroutines at a time.
type Applier struct {
	Config
	begin      pgx.TxOptions
	statements statements
}

// New returns an Applier for a Config that has been checked.
func New(c Config) *Applier {
	return &Applier{
		Config: c,
		begin: pgx.TxOptions{BeginQuery: fmt.Sprintf(beginSQL,
			c.LockTimeout.Milliseconds(), c.IdleTimeout.Milliseconds())},
		statements: statements{
			timed:   schema.Rewrite(timedSQL, c.Schema),
			foreign: schema.Rewrite(foreignSQL, c.Schema),
			floor:   schema.Rewrite(floorSQL, c.Schema),
		},
	}
}

// rollbackTimeout bounds a rollback, which also runs when ctx has ended.
const rollbackTimeout = 5 * time.Second

// Apply makes the effects of the messages that are new to the consumer, in
// order, and returns how many these were. On an error nothing was done.
func (a *Applier) Apply(ctx context.Context, batch []inbox.Message) (news int, err error) {
	tx, err := a.Pool.BeginTx(ctx, a.begin)
	if err != nil {
		return 0, fmt.Errorf("begin a batch: %w", err)
	}
	defer func() {
		if err != nil {
			rollback(ctx, tx)
		}
	}()
	first, err := a.record(ctx, tx, batch)
	if err != nil {
		return 0, err
	}
	for i := range batch {
		if !first[i] {
			continue
		}
		if err := a.handle(ctx, tx, batch[i]); err != nil {
			return 0, err
		}
		news++
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, commitError(err)
	}
	return news, nil
}

// handle calls the handler, and decides what its error means.
func (a *Applier) handle(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	stack, err := a.call(ctx, tx, m)
	conn := tx.Conn()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case conn.IsClosed():
		return fmt.Errorf("the connection was lost during a batch: %w", cmp.Or(err, errLost))
	case conn.PgConn().TxStatus() == 'I':
		return fmt.Errorf("%w (message %s at %s/%d offset %d)", ErrEnded, m.ID, m.Topic, m.Partition, m.Offset)
	case repeats(err):
		return fmt.Errorf("repeat the batch: %w", err)
	case err != nil:
		return &Failure{Message: &m, Err: err, Stack: stack}
	case conn.PgConn().IsBusy():
		return &Failure{Message: &m, Err: errBusy}
	case conn.PgConn().TxStatus() == 'E':
		return &Failure{Message: &m, Err: errAborted}
	}
	return nil
}

// call runs the handler, with a transaction that is not its to end.
func (a *Applier) call(ctx context.Context, tx pgx.Tx, m inbox.Message) (stack []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			stack, err = debug.Stack(), &PanicError{Value: p}
		}
	}()
	return nil, a.Handler(ctx, borrowed{tx}, m)
}

func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	// An error means that the connection is gone, and the transaction with it.
	_ = tx.Rollback(ctx)
}

// borrowed is a transaction that the handler may use and not end: what it would
// commit are the ids of the whole batch, those of messages after its own too.
// Begin, a savepoint, is the handler's own to end.
type borrowed struct{ pgx.Tx }

func (borrowed) Commit(context.Context) error   { return errNotYours }
func (borrowed) Rollback(context.Context) error { return errNotYours }
