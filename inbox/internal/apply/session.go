package apply

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// Database is where transactions are had.
type Database interface {
	// begin begins a transaction and sends it what is queued, which is nothing
	// where queue is nil. On an error there is no transaction.
	begin(ctx context.Context, l limits, queue func(*pgx.Batch)) (*Session, error)
}

// Session is a transaction that holds a batch.
type Session struct {
	// Tx is the transaction as a handler may use it.
	Tx pgx.Tx
	// SQL is the same transaction of database/sql, where the Database is one.
	SQL *sql.Tx

	conn   *pgx.Conn // for the statements of this package
	lent   *borrowed // what is in Tx; nil where it is SQL
	commit func(context.Context) error
	abort  func(context.Context) // and what the connection is given back by
}

// untouched tells whether a handler has done nothing with the transaction since
// fresh was called. Of database/sql that is not known.
func (s *Session) untouched() bool {
	return s.lent != nil && !s.lent.used && s.conn.PgConn().TxStatus() == 'T'
}

func (s *Session) fresh() {
	if s.lent != nil {
		s.lent.used = false
	}
}

// limits are those of the transaction. They bound how long a frozen consumer can
// delay the one that took over its partitions.
type limits struct{ lock, idle time.Duration }

func (l limits) queue(batch *pgx.Batch) {
	batch.Queue(limitsSQL, fmt.Sprint(l.lock.Milliseconds()), fmt.Sprint(l.idle.Milliseconds()))
}

// rollbackTimeout bounds a rollback, which also runs when ctx has ended.
const rollbackTimeout = 5 * time.Second

// Pool is a Database of pgx.
func Pool(pool *pgxpool.Pool) Database { return pgxDatabase{pool} }

type pgxDatabase struct{ *pgxpool.Pool }

func (d pgxDatabase) begin(ctx context.Context, l limits, queue func(*pgx.Batch)) (*Session, error) {
	batch := &pgx.Batch{}
	batch.BeginTx(pgx.TxOptions{BeginQuery: beginSQL})
	l.queue(batch)
	if queue != nil {
		queue(batch)
	}
	results := d.SendBatch(ctx, batch)
	tx := results.Tx()
	b := &borrowed{tx: tx}
	s := &Session{
		Tx: b, lent: b, commit: tx.Commit,
		abort: func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
			defer cancel()
			// An error means that the connection is gone, and the transaction with it.
			_ = tx.Rollback(ctx)
		},
	}
	if err := results.Close(); err != nil {
		s.abort(ctx)
		return nil, err
	}
	s.conn = tx.Conn()
	return s, nil
}

// SQL is a Database of database/sql that was opened with pgx's driver.
func SQL(db *sql.DB) Database { return sqlDatabase{db} }

type sqlDatabase struct{ *sql.DB }

var errDriver = errors.New("the database/sql handle was not opened with pgx's driver: open it with sql.Open(\"pgx\", …) or stdlib.OpenDBFromPool")

func (d sqlDatabase) begin(ctx context.Context, l limits, queue func(*pgx.Batch)) (_ *Session, err error) {
	conn, err := d.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	s := &Session{}
	err = conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return errDriver
		}
		s.conn = c.Conn()
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Detached: database/sql would roll back at the end of ctx at any moment, on
	// a goroutine of its own, in the midst of a statement of ours.
	err = s.until(ctx, func() (err error) {
		s.SQL, err = conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		return err
	})
	if err != nil {
		return nil, err
	}
	s.commit = func(ctx context.Context) error {
		defer conn.Close()
		return s.until(ctx, s.SQL.Commit)
	}
	s.abort = func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = s.until(ctx, s.SQL.Rollback)
		_ = conn.Close()
	}
	batch := &pgx.Batch{}
	batch.Queue("SET TRANSACTION READ WRITE")
	l.queue(batch)
	if queue != nil {
		queue(batch)
	}
	if err := s.conn.SendBatch(ctx, batch).Close(); err != nil {
		s.abort(ctx)
		return nil, err
	}
	return s, nil
}

// until cuts the connection when ctx ends before the work does, which database/sql
// cannot be told to give up.
func (s *Session) until(ctx context.Context, work func() error) error {
	network := s.conn.PgConn().Conn()
	stop := context.AfterFunc(ctx, func() { _ = network.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() { // it was over at the last moment
			_ = network.SetDeadline(time.Time{})
		}
	}()
	return work()
}
