package inboxsql

import (
	"context"
	"database/sql"
	"errors"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/once"
	"github.com/tandem-outbox/tandem/internal/sqltx"
)

// Tx is a transaction: a *sql.Tx, a bun.Tx, a *sqlx.Tx, or what GORM has as its
// ConnPool within one. A *sql.DB is none, and has no Commit: the compiler refuses
// it. Commit and Rollback are not called.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	Commit() error
	Rollback() error
}

// Handler is an [inbox.Handler] for database/sql, and for what is built on it. The
// transaction is the runner's: Commit and Rollback are not to be called.
type Handler = func(ctx context.Context, tx *sql.Tx, m inbox.Message) error

// Once is [inbox.Once] on database/sql: it records in tx that consumer has
// processed the message id, and returns true the first time.
//
// An error is an [*inbox.IDError] where the id or the name is at fault,
// [inbox.ErrNoTransaction] for a nil tx, or what the driver said. After one, tx
// is to be rolled back.
func Once(ctx context.Context, tx Tx, consumer, id string) (first bool, err error) {
	return standard.Once(ctx, tx, consumer, id)
}

// Inbox is an inbox in a schema of another name than "tandem". The package's
// function is for that one.
type Inbox struct {
	statement string
}

var standard, _ = New("") // whose name is right

// New returns the inbox in the schema of that name; an empty name means
// "tandem". It does not connect. The error is about the name.
func New(schemaName string) (*Inbox, error) {
	statement, err := once.Statement(schemaName)
	if err != nil {
		return nil, err
	}
	return &Inbox{statement}, nil
}

// Once is the function [Once] in this inbox.
func (i *Inbox) Once(ctx context.Context, tx Tx, consumer, id string) (first bool, err error) {
	beneath := sqltx.Beneath(tx)
	if beneath == nil {
		return false, inbox.ErrNoTransaction
	}
	if err := once.Check(consumer, id); err != nil {
		return false, typed(err)
	}
	if err := beneath.QueryRowContext(ctx, i.statement, consumer, id).Scan(&first); err != nil {
		return false, typed(once.Explain(err, consumer, id))
	}
	return first, nil
}

// typed gives a refusal its public type.
func typed(err error) error {
	if p, ok := errors.AsType[*once.Problem](err); ok {
		return (*inbox.IDError)(p)
	}
	return err
}
