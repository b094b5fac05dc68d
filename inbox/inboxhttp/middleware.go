package inboxhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// Middleware runs handlers in a transaction, once for each key. It may be used by
// any number of handlers and requests at a time.
type Middleware struct {
	config     Config
	pool       *pgxpool.Pool
	begin      pgx.TxOptions
	find, keep string
}

// New returns a Middleware that keeps answers in the pool's database, which has
// Tandem's schema, as a login that is a member of tandem_consumer. It does not
// connect. A request holds one connection while its handler runs. An error names
// everything that is wrong with the Config, each a [*ConfigError].
func New(config Config, pool *pgxpool.Pool) (*Middleware, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	if pool == nil {
		return nil, errors.New("inboxhttp: pool is nil: give New the pool of the database that the handlers write to")
	}
	config.Methods = slices.Clone(config.Methods)
	return &Middleware{
		config: config,
		pool:   pool,
		begin:  pgx.TxOptions{BeginQuery: fmt.Sprintf(beginSQL, config.LockTimeout.Milliseconds(), config.IdleTimeout.Milliseconds())},
		find:   schema.Rewrite(findSQL, config.Schema),
		keep:   schema.Rewrite(storeSQL, config.Schema),
	}, nil
}

// Wrap returns a handler that runs next in a transaction, once for each key; next
// finds the transaction with [Tx]. Requests of other methods than Config.Methods,
// and those that come from another Wrap already, are handed on as they are.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, inside := Tx(r.Context()); inside || !slices.Contains(m.config.Methods, r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		a, replayed, err := m.serve(w, r, next)
		if err != nil {
			a = m.refuse(r, err)
		}
		a.send(w, replayed)
	})
}

// Handle returns a handler that runs handle in a transaction, once for each key.
// Requests of other methods than Config.Methods are answered with 405. What is
// said of a Handler's use of tx is said in [Tx].
func (m *Middleware) Handle(handle func(w http.ResponseWriter, r *http.Request, tx pgx.Tx)) http.Handler {
	return m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tx, ok := Tx(r.Context())
		if !ok {
			wrongMethod(m.config.Methods).answer().send(w, false)
			return
		}
		handle(w, r, tx)
	}))
}

type txKey struct{}

// Tx returns the transaction of the request that ctx belongs to; false where
// there is none, because the request did not come through [Middleware.Wrap] or
// its method is not in Config.Methods.
//
// All effects go into it, and it is good until the handler returns. It is not the
// handler's to end: Commit and Rollback return an error. To undo everything,
// answer with 400 or more; to undo a part, use tx.Begin, a savepoint.
func Tx(ctx context.Context) (tx pgx.Tx, ok bool) {
	tx, ok = ctx.Value(txKey{}).(pgx.Tx)
	return tx, ok
}

// borrowed is a transaction that the handler may use and not end: it would keep
// effects without the answer, or the other way round.
type borrowed struct{ pgx.Tx }

func (borrowed) Commit(context.Context) error   { return errNotYours }
func (borrowed) Rollback(context.Context) error { return errNotYours }
