package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
)

// Relay publishes the events of one log. Make one with New; it runs once.
type Relay struct {
	cfg   Config
	sql   statements
	log   *slog.Logger
	owner uuid.UUID
	now   func() time.Time
	// Far beyond what a read of the log takes, on a cold disk too.
	readTimeout time.Duration
	stats       counters
	heart       heart
	watching    atomic.Pointer[watcher] // of the present term
	state       atomic.Int32            // a State
	current     atomic.Pointer[term]
	// A commit since the last look did not wait for the standbys after all.
	waitCancelled atomic.Bool

	aborted context.Context
	abort   context.CancelFunc
}

// New checks the configuration; its error joins everything that is wrong with it.
func New(cfg Config) (*Relay, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	owner, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := &Relay{cfg: cfg, sql: statementsFor(cfg.Schema), log: cfg.Logger, owner: owner, now: time.Now, readTimeout: time.Minute}
	r.aborted, r.abort = context.WithCancel(context.Background())
	return r, nil
}

// Run is New and Relay.Run in one.
func Run(ctx context.Context, cfg Config) error {
	r, err := New(cfg)
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// Abort cuts short the drain that follows the end of Run's context: Run returns
// an error at once, and what was acknowledged but not saved is published again.
func (r *Relay) Abort() { r.abort() }

// Run stands by until it acquires the lease, relays, and stands by again when
// it has lost it. Any number may run on one log; one works.
//
// When ctx ends it publishes what it has read, saves, gives the lease up and
// returns nil. Before the first event it returns an error if something is wrong
// (a SetupError) or stays out of reach (an UnreachableError); afterwards it
// outlasts restarts of database and broker by itself.
func (r *Relay) Run(ctx context.Context) error {
	defer r.abort()
	defer r.become(Stopped)
	conn, s, err := r.start(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() {
		if conn != nil {
			r.leave(conn)
			closeConn(conn)
		}
	}()
	trouble := newTrouble(r.log, r.now)
	var pause backoff
	for ctx.Err() == nil {
		var err error
		if conn == nil {
			// Whatever is wrong now was right at the start, and may be again.
			conn, s, err = r.connect(ctx)
		} else {
			began := r.now()
			err = explainDatabase(r.lead(ctx, conn, s, func() { trouble.over("the database answers again") }))
			if r.now().Sub(began) > r.cfg.Lease {
				pause.reset()
			}
			if err == nil || final(err) || r.aborted.Err() != nil || (r.cfg.UntilEmpty && unreachable(err)) {
				return err
			}
			closeConn(conn)
			conn = nil
			r.become(Interrupted)
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			if !errors.Is(err, context.Canceled) {
				r.log.Warn("stopped, but not cleanly: events may be published again, and others wait for the lease to run out", "error", err)
			}
			break
		}
		if errors.Is(err, errLeaseLost) {
			r.log.Warn("lost the lease; standing by")
			continue
		}
		trouble.failed("relaying is interrupted and will be resumed", err)
		if sleep(ctx, pause.next()) != nil {
			break
		}
	}
	return nil
}

// start checks everything that can be checked before the first event.
func (r *Relay) start(ctx context.Context) (*pgx.Conn, server, error) {
	var conn *pgx.Conn
	var s server
	err := r.patiently(ctx, "database", func(ctx context.Context) (err error) {
		conn, s, err = r.connectFirst(ctx)
		return err
	})
	if err != nil {
		return nil, s, err
	}
	if c, ok := r.cfg.Publisher.(interface{ Check(context.Context) error }); ok {
		if err := r.patiently(ctx, "broker", c.Check); err != nil {
			closeConn(conn)
			return nil, s, err
		}
	}
	return conn, s, nil
}

// patiently repeats try until it succeeds, is told that something is wrong, or
// StartTimeout is over.
func (r *Relay) patiently(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.StartTimeout, noAnswer(r.cfg.StartTimeout))
	defer cancel()
	trouble := newTrouble(r.log, r.now)
	var pause backoff
	for {
		err := try(ctx)
		if err == nil {
			trouble.over(what + " answers")
			return nil
		}
		var setup *SetupError
		var judged interface{ Temporary() bool }
		switch {
		case errors.As(err, &setup):
			return err
		case what == "database" && !mayPass(err):
			return &SetupError{Code: advice.Database, Problem: "the database refuses the connection", Err: err, Remedy: "check the database URL, and for TLS its sslmode, sslrootcert and sslcert"}
		case what == "broker" && errors.As(err, &judged) && !judged.Temporary():
			return &SetupError{Code: advice.Brokers, Problem: "the brokers cannot be used", Err: err}
		}
		if ctx.Err() == nil {
			trouble.failed("cannot reach the "+what+" yet", err)
		}
		if sleep(ctx, pause.next()) != nil {
			return &UnreachableError{What: what, Err: fmt.Errorf("%w: %w", context.Cause(ctx), err)}
		}
	}
}

// lead waits for the lease and relays for one term. It calls answered when the
// database has answered for the first time.
func (r *Relay) lead(ctx context.Context, conn *pgx.Conn, s server, answered func()) error {
	waiting := r.now()
	for standby := false; ; standby = true {
		l, err := r.acquire(conn)
		if err != nil {
			return explainDatabase(fmt.Errorf("acquire the lease: %w", err))
		}
		if !standby {
			answered()
		}
		if l != nil {
			r.become(Relaying)
			return r.term(ctx, conn, s, l)
		}
		r.become(Standby)
		r.beat(conn)
		if !standby {
			r.log.Info("standing by: another relay holds the lease")
		}
		if r.cfg.UntilEmpty && r.now().Sub(waiting) > r.cfg.StartTimeout {
			return &UnreachableError{What: "lease", Err: fmt.Errorf("another relay has held it for %v; it is doing the work, or stop it first", r.cfg.StartTimeout)}
		}
		// Often enough for a clean hand-over within half a second.
		if sleep(ctx, min(250*time.Millisecond, r.cfg.Lease/4)) != nil {
			return nil //nolint:nilerr // being stopped while standing by is no failure
		}
	}
}
