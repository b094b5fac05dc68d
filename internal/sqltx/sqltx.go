// Package sqltx finds the transaction of database/sql in what others make of one.
package sqltx

import (
	"context"
	"database/sql"
	"reflect"
)

// Tx is a transaction: nothing else has a Commit. Packages outboxsql and inboxsql
// show it to their users under their own names.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	Commit() error
	Rollback() error
}

// Beneath returns what to send a statement on: the *sql.Tx that tx embeds, where
// it does, else tx itself; nil where there is none. Types that embed one may read
// a statement in a way of their own: bun.Tx knows "?" and drops the arguments of
// "$1".
func Beneath(tx Tx) Tx {
	if tx == nil {
		return nil
	}
	v := reflect.ValueOf(tx)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return tx
	}
	f, embeds := v.Type().FieldByName("Tx")
	if !embeds || !f.Anonymous || len(f.Index) != 1 {
		return tx
	}
	if embedded, is := v.FieldByIndex(f.Index).Interface().(*sql.Tx); is {
		if embedded == nil {
			return nil
		}
		return embedded
	}
	return tx
}
