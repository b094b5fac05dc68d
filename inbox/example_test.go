package inbox_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
)

// A payment provider calls a webhook until it gets an answer. However often it
// calls, the payment is booked once.
func ExampleOnce() {
	webhook := func(ctx context.Context, pool *pgxpool.Pool, paymentID string) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			first, err := inbox.Once(ctx, tx, "bookkeeping", paymentID)
			if err != nil || !first {
				return err // known: answer 200, as the first time
			}
			_, err = tx.Exec(ctx, `INSERT INTO bookings (payment_id) VALUES ($1)`, paymentID)
			return err
		})
	}
	_ = webhook
}

// An id that will never be accepted is asked by type; trying again is useless.
func ExampleIDError() {
	var err error = &inbox.IDError{Consumer: "billing", ID: "", Field: "message_id", Reason: inbox.ErrInvalid, Detail: "it has 0 bytes, allowed are 1 to 1000"}

	var refused *inbox.IDError
	if errors.As(err, &refused) {
		fmt.Println(refused.Field, errors.Is(err, inbox.ErrTooOld))
		fmt.Println(err)
	}
	// Output:
	// message_id false
	// inbox: consumer "billing", message id "": message_id is invalid: it has 0 bytes, allowed are 1 to 1000
}

// Two services of one database, each with a schema of its own.
func ExampleNew() {
	_, err := inbox.New("billing_messages")
	fmt.Println(err)
	// Output: <nil>
}
