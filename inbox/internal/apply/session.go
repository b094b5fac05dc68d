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
	begin(ctx context.Context, l limits) (*Session, error)
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

func (l limits) statement() string {
	return fmt.Sprintf(limitsSQL, l.lock.Milliseconds(), l.idle.Milliseconds())
}

// rollbackTimeout bounds a rollback, which also runs when ctx has ended.
const rollbackTimeout = 5 * time.Second

// Pool is a Database of pgx.
func Pool(pool *pgxpool.Pool) Database { return pgxDatabase{pool} }

type pgxDatabase struct{ *pgxpool.Pool }

func (d pgxDatabase) begin(ctx context.Context, l limits) (*Session, error) {
	tx, err := d.BeginTx(ctx, pgx.TxOptions{BeginQuery: beginSQL + l.statement()})
	if err != nil {
		return nil, fmt.Errorf("begin a batch: %w", err)
	}
	b := &borrowed{tx: tx}
	return &Session{
		Tx: b, lent: b, conn: tx.Conn(), commit: tx.Commit,
		abort: func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
			defer cancel()
			// An error means that the connection is gone, and the transaction with it.
			_ = tx.Rollback(ctx)
		},
	}, nil
}

// SQL is a Database of database/sql that was opened with pgx's driver.
func SQL(db *sql.DB) Database { return sqlDatabase{db} }

type sqlDatabase struct{ *sql.DB }

var errDriver = errors.New("the database/sql handle was not opened with pgx's driver: open it with sql.Open(\"pgx\", …) or stdlib.OpenDBFromPool")

func (d sqlDatabase) begin(ctx context.Context, l limits) (_ *Session, err error) {
	conn, err := d.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect for a batch: %w", err)
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
		return nil, fmt.Errorf("begin a batch: %w", err)
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
	if _, err := s.conn.Exec(ctx, "SET TRANSACTION READ WRITE;"+l.statement()); err != nil {
		s.abort(ctx)
		return nil, fmt.Errorf("begin a batch: %w", err)
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
