package inboxhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// rollbackTimeout bounds a rollback, which also runs when the request's
	// context has ended.
	rollbackTimeout = 5 * time.Second
	// commitTimeout bounds the COMMIT, after which the outcome is not known.
	commitTimeout = 10 * time.Second
)

// serve returns the answer to a request, and whether it is an earlier one. When
// it returns, the transaction has ended.
func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler) (a answer, replayed bool, err error) {
	q, err := m.admit(w, r)
	if err != nil {
		return answer{}, false, err
	}
	ctx := r.Context()
	beginning, cancel := context.WithTimeout(ctx, m.config.BeginTimeout)
	defer cancel()
	tx, err := m.pool.BeginTx(beginning, m.begin)
	if err != nil {
		return answer{}, false, fmt.Errorf("begin a transaction (Config.BeginTimeout is %v): %w", m.config.BeginTimeout, err)
	}
	defer rollback(ctx, tx) // after a commit there is nothing left to do for it

	began, earlier, err := m.claim(beginning, tx, q)
	if err != nil || earlier != nil {
		return deref(earlier), earlier != nil, err
	}
	a, err = m.handle(tx, q, next)
	if conn := tx.Conn().PgConn(); !conn.IsClosed() && conn.TxStatus() == 'I' {
		err = errors.Join(err, &fault{err: errEnded}) // a panic's stack first
	}
	if err != nil || a.status >= http.StatusInternalServerError {
		return a, false, err
	}
	return a, false, m.end(ctx, tx, q, began, a)
}

func deref(a *answer) answer {
	if a == nil {
		return answer{}
	}
	return *a
}

// claim claims the key for this transaction, and returns when that began; or the
// answer that there is. That one is final, so it needs no claim.
func (m *Middleware) claim(ctx context.Context, tx pgx.Tx, q *request) (began time.Time, earlier *answer, err error) {
	batch := &pgx.Batch{}
	var granted, found bool
	var fingerprint, wire []byte
	var a answer
	if q.key != "" {
		batch.Queue(claimSQL, q.lock).QueryRow(func(row pgx.Row) error { return row.Scan(&granted, &began) })
		batch.Queue(m.find, m.config.Consumer, q.scope, q.key).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&fingerprint, &a.status, &wire, &a.body)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			found = err == nil
			return err
		})
	}
	batch.Queue(savepointSQL)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return began, nil, fmt.Errorf("look for the answer: %w", err)
	}
	switch {
	case q.key == "":
		return began, nil, nil
	case found && !bytes.Equal(fingerprint, q.fingerprint):
		return began, nil, keyReused()
	case found:
		if a.header, err = readWire(wire); err != nil {
			return began, nil, &fault{err: fmt.Errorf("read the headers of a kept answer: %w", err)}
		}
		return began, &a, nil
	case !granted:
		return began, nil, inProgress()
	}
	return began, nil, nil
}

// handle runs the handler, with a transaction that is not its to end.
func (m *Middleware) handle(tx pgx.Tx, q *request, next http.Handler) (a answer, err error) {
	recorder := &recorder{header: http.Header{}, limit: m.config.MaxAnswer}
	r := q.http.WithContext(context.WithValue(q.http.Context(), txKey{}, borrowed{tx}))
	defer func() {
		if r.MultipartForm != nil { // net/http only knows of its own request's
			_ = r.MultipartForm.RemoveAll()
		}
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // asks net/http to cut the connection
			panic(p)
		default:
			a, err = answer{}, &fault{err: fmt.Errorf("the handler panicked: %v", p), stack: debug.Stack()}
		}
	}()
	next.ServeHTTP(recorder, r)
	if a, err = recorder.finish(); err != nil {
		err = &fault{err: err}
	}
	return a, err
}

// end commits the answer, with the handler's effects or without them. On an error
// nothing was committed, but for one of the COMMIT itself.
func (m *Middleware) end(ctx context.Context, tx pgx.Tx, q *request, began time.Time, a answer) error {
	commit := m.config.Commit(a.status)
	conn := tx.Conn().PgConn()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case conn.IsClosed():
		return errLost
	case conn.IsBusy():
		return &fault{err: errBusy}
	case conn.TxStatus() == 'E' && commit:
		return &fault{err: errAborted}
	case !commit && q.key == "":
		return nil // rolled back, and there is nothing to keep
	case !commit:
		if _, err := tx.Exec(ctx, undoSQL); err != nil {
			return fmt.Errorf("undo what a handler did that answered %d: %w", a.status, err)
		}
	}
	if q.key != "" {
		if err := m.store(ctx, tx, q, began, a); err != nil {
			return err
		}
	}
	// From here on the client's going away changes nothing any more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (m *Middleware) store(ctx context.Context, tx pgx.Tx, q *request, began time.Time, a answer) error {
	body := a.body
	if body == nil {
		body = []byte{} // nil would be NULL
	}
	tag, err := tx.Exec(ctx, m.keep, m.config.Consumer, q.scope, q.key, q.fingerprint,
		a.status, a.wire(), body, m.config.Retention.Microseconds(), began)
	if err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return &fault{err: errEnded}
	}
	return nil
}

func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	// An error means that the connection is gone, and the transaction with it.
	_ = tx.Rollback(ctx)
}
