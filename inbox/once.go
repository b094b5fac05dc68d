package inbox

import (
	"cmp"
	"context"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox/internal/once"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Once records in tx that consumer has processed the message id, and returns
// true the first time. When it returns false the message's effects have been
// committed before: do nothing, and acknowledge the message.
//
// The consumer is the name of who processes, 1 to 255 bytes; each consumer sees
// each id once. The record becomes valid when tx commits, and is gone when tx
// is rolled back. An error is an [*IDError] where the id or the name is at
// fault, [ErrNoTransaction], or what Postgres said.
func Once(ctx context.Context, tx pgx.Tx, consumer, id string) (first bool, err error) {
	return standard.Once(ctx, tx, consumer, id)
}

// Inbox is an inbox in a schema of another name than "tandem". The package's
// functions are for that one.
type Inbox struct {
	schema    string
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
	return &Inbox{cmp.Or(schemaName, schema.Default), statement}, nil
}

// Once is [Once] in this inbox.
func (i *Inbox) Once(ctx context.Context, tx pgx.Tx, consumer, id string) (first bool, err error) {
	if isNil(tx) {
		return false, ErrNoTransaction
	}
	if err := once.Check(consumer, id); err != nil {
		return false, typed(err)
	}
	if err := tx.QueryRow(ctx, i.statement, consumer, id).Scan(&first); err != nil {
		return false, typed(once.Explain(err, consumer, id))
	}
	return first, nil
}

// isNil also sees a nil *pgxpool.Tx in the interface.
func isNil(tx pgx.Tx) bool {
	if tx == nil {
		return true
	}
	v := reflect.ValueOf(tx)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
