package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
)

// A checkpoint is made of transaction ids, and those mean something on one
// server only. After a dump and restore, a copy or a failover the relay refuses
// to go on (see readCheckpoint); Rebase gives the log a new start here.
//
// Covered is what counts as published. By the old checkpoint that is plain
// arithmetic, valid anywhere: the old transaction ids, which the rows brought
// along in their column tx, against the old snapshots. Only rows that were
// written here, after the checkpoint had arrived here, must be kept out of it:
// their ids are of this server and may look old. See writtenHere.
//
// One transaction, with a snapshot taken just before it:
//
//	snapshot      becomes the new checkpoint: what is visible in it is done
//	acquire       nobody else relays meanwhile, and nobody saves
//	settle        covered rows that are not visible in the snapshot get the
//	              frozen transaction id 2, which every snapshot sees
//	unsettle      rows that are not covered get this transaction's id, which
//	              the snapshot, being older, does not see; the relay will read
//	              them as one window, in order of position
//	save          the checkpoint, with this server's identity
//
// Writers go on meanwhile. One in progress at the snapshot, or later than it, is
// not visible in it, so its events are unread whatever its id. A crash at any
// step leaves everything as it was.

// RebaseChoice says which events of the log count as not published yet.
type RebaseChoice int

const (
	// PublishUncovered publishes what the old checkpoint does not cover. This is
	// at least once: what was acknowledged after that checkpoint repeats.
	PublishUncovered RebaseChoice = iota
	// PublishAll publishes everything that is still in the log again.
	PublishAll
	// PublishNone publishes nothing of what is in the log now.
	PublishNone
)

// RebaseOptions are the choices of Rebase.
type RebaseOptions struct {
	Publish RebaseChoice
	// DryRun counts and changes nothing.
	DryRun bool
	// Wait is for how long to wait for the lease of a relay that has just been
	// stopped. Defaults to 10s.
	Wait time.Duration
}

// RebaseResult counts the events in the log.
type RebaseResult struct {
	ToPublish int64 // will be published, with their positions and ids as they are
	Done      int64 // count as published
}

// ErrEmptyCheckpoint means that there is no old checkpoint to go by: choose
// PublishAll or PublishNone.
var ErrEmptyCheckpoint = errors.New("relay: the checkpoint is empty, so what was published is not known; choose to publish all of the log or none of it")

// LeaseHeldError means that a relay is at work.
type LeaseHeldError struct {
	Holder string
}

func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("relay: %s holds the lease; stop every relay of this log first", e.Holder)
}

// Rebase makes the log's checkpoint valid on the server that database names. It
// needs the rights of the schema's owner, and every relay stopped.
func Rebase(ctx context.Context, database *pgx.ConnConfig, schemaName string, o RebaseOptions) (RebaseResult, error) {
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	cfg := Config{Database: database, Schema: schemaName, Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	r := &Relay{cfg: cfg, sql: statementsFor(cfg.Schema), log: cfg.Logger, owner: uuid.New(), now: time.Now}
	conn, s, err := r.connectFirst(ctx)
	if err != nil {
		return RebaseResult{}, err
	}
	defer closeConn(conn)
	for began := r.now(); ; {
		result, err := r.rebase(ctx, conn, s, o)
		var held *LeaseHeldError
		if !errors.As(err, &held) || r.now().Sub(began) > o.Wait {
			return result, explainRebase(err)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return RebaseResult{}, err
		}
	}
}

func explainRebase(err error) error {
	if sqlState(err) == "42501" {
		return &SetupError{Code: advice.Rights, Problem: "the login may not rebase", Err: err, Remedy: "do it as the owner of the schema"}
	}
	return explainDatabase(err)
}

func (r *Relay) rebase(ctx context.Context, conn *pgx.Conn, s server, o RebaseOptions) (RebaseResult, error) {
	var result RebaseResult
	var start string
	if err := conn.QueryRow(ctx, `SELECT pg_current_snapshot()::text`).Scan(&start); err != nil {
		return result, err
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		l, err := r.acquireIn(ctx, tx)
		if err != nil {
			return err
		}
		// The whole log is read, once.
		if _, err := tx.Exec(ctx, `SET LOCAL enable_seqscan = on`); err != nil {
			return err
		}
		if o.Publish == PublishUncovered {
			var any bool
			if err := tx.QueryRow(ctx, r.sql.hasCheckpoint).Scan(&any); err != nil {
				return err
			}
			if !any {
				return ErrEmptyCheckpoint
			}
		}
		if err := tx.QueryRow(ctx, r.sql.rebaseCount, o.Publish).Scan(&result.ToPublish, &result.Done); err != nil {
			return fmt.Errorf("count the log: %w", err)
		}
		if o.DryRun {
			return errDryRun
		}
		return r.newStart(ctx, tx, s, l, start, o.Publish)
	})
	if errors.Is(err, errDryRun) {
		err = nil
	}
	return result, err
}

// errDryRun rolls back.
var errDryRun = errors.New("dry run")

func (r *Relay) acquireIn(ctx context.Context, tx pgx.Tx) (*lease, error) {
	l := &lease{owner: r.owner}
	err := tx.QueryRow(ctx, r.sql.acquire, r.owner, r.cfg.Holder, r.cfg.Lease.Microseconds()).Scan(&l.epoch, nil)
	if errors.Is(err, pgx.ErrNoRows) {
		held := &LeaseHeldError{}
		if err := tx.QueryRow(ctx, r.sql.holder).Scan(&held.Holder); err != nil {
			return nil, err
		}
		return nil, held
	}
	return l, err
}

func (r *Relay) newStart(ctx context.Context, tx pgx.Tx, s server, l *lease, start string, publish RebaseChoice) error {
	for _, step := range []struct {
		name, statement string
		arguments       []any
	}{
		{"settle what is published", r.sql.settle, []any{publish, start}},
		{"unsettle what is not", r.sql.unsettle, []any{publish}},
		{"bring the sequence after the log", r.sql.raiseSequence, nil},
	} {
		if _, err := tx.Exec(ctx, step.statement, step.arguments...); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	var xid string
	var position int64
	err := tx.QueryRow(ctx, r.sql.save, l.owner, l.epoch, start, 0, "", 0, 0, s.system, s.timeline, s.database, nil, nil, nil).Scan(&xid, &position)
	if err != nil {
		return fmt.Errorf("save the checkpoint: %w", err)
	}
	_, err = tx.Exec(ctx, r.sql.release, l.owner, l.epoch)
	return err
}
