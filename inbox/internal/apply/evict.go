package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// evictSQL ends the sessions that $1 waits for. Postgres allows it between
// sessions of one login, which consumers of one group have.
const evictSQL = `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM unnest(pg_blocking_pids($1)) AS pid`

// evictEvery is how often the sessions in the way are looked for.
const evictEvery = 50 * time.Millisecond

// Evict is Claim for when the owner's transaction has not ended within its
// idle_in_transaction_session_timeout: it ends that session. Postgres does not
// count a transaction as idle whose client was frozen in the midst of a request
// that is sent in one piece (pipelined), so that nothing else would.
func (a *Applier) Evict(ctx context.Context, topic string, partition int, holder string) (evicted int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waiting := make(chan int32, 1)
	done := make(chan error, 1)
	go func() {
		done <- a.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			// Asked for, since a pooler tells its clients numbers of its own.
			var pid int32
			if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
				return err
			}
			waiting <- pid
			var epoch, changed int64
			return conn.QueryRow(ctx, a.statements.claim, a.Consumer, topic, partition, holder).Scan(&epoch, &changed)
		})
	}()
	select {
	case err := <-done: // it has no session
		return 0, err
	case pid := <-waiting:
		evicted, err = a.evict(ctx, pid, done)
	}
	if err != nil {
		cancel()
		<-done //nolint:errcheck // it was told to end
		return evicted, fmt.Errorf("end the session of the owner before: %w", err)
	}
	return evicted, nil
}

// evict ends sessions that pid waits for until it has what it waits for.
func (a *Applier) evict(ctx context.Context, pid int32, done chan error) (evicted int, err error) {
	ticker := time.NewTicker(evictEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			done <- nil // for who waits
			return evicted, err
		case <-ticker.C:
		}
		n := 0
		err := a.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, evictSQL, pid).Scan(&n)
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			return evicted, err
		}
		evicted += n
	}
}
