package inbox

import (
	"context"
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/internal/schema"
)

const onceSQL = `SELECT tandem.once($1::text, $2::text)`

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
	schema string
	once   string
}

var standard = &Inbox{schema: schema.Default, once: onceSQL}

// New returns the inbox in the schema of that name; an empty name means
// "tandem". It does not connect. The error is about the name.
func New(schemaName string) (*Inbox, error) {
	if schemaName == "" {
		return standard, nil
	}
	if err := schema.Check(schemaName); err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return &Inbox{schema: schemaName, once: schema.Rewrite(onceSQL, schemaName)}, nil
}

// Once is [Once] in this inbox.
func (i *Inbox) Once(ctx context.Context, tx pgx.Tx, consumer, id string) (first bool, err error) {
	if isNil(tx) {
		return false, ErrNoTransaction
	}
	if problem := ids.Problem(ids.ConsumerMax, consumer); problem != "" {
		return false, &IDError{Consumer: consumer, ID: id, Field: "consumer", Reason: ErrInvalid, Detail: problem}
	}
	if problem := ids.Problem(ids.MessageMax, id); problem != "" {
		return false, &IDError{Consumer: consumer, ID: id, Field: "message_id", Reason: ErrInvalid, Detail: problem}
	}
	if err := tx.QueryRow(ctx, i.once, consumer, id).Scan(&first); err != nil {
		return false, explain(err, consumer, id)
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
