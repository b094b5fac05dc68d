package outbox_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/outbox"
)

// BenchmarkAdd is a transaction of one business row and its events, against the
// row alone and against a bare SELECT 1.
//
//	go test ./outbox -run - -bench Add
func BenchmarkAdd(b *testing.B) {
	conn, _ := shop(b)
	// What the disk takes to commit is the same for all and hides the rest.
	_, err := conn.Exec(b.Context(), "SET synchronous_commit = off")
	require.NoError(b, err)
	for _, n := range []int{1, 10} {
		events := make([]outbox.Event, n)
		for i := range events {
			events[i] = outbox.Event{Topic: "orders", Key: "k", Payload: make([]byte, 200)}
		}
		for _, c := range []struct {
			name string
			work func(ctx context.Context, tx pgx.Tx) error
		}{
			{"row alone", insertOrder},
			{"Add", func(ctx context.Context, tx pgx.Tx) error {
				if err := insertOrder(ctx, tx); err != nil {
					return err
				}
				return outbox.Add(ctx, tx, events...)
			}},
			{"Queue", func(ctx context.Context, tx pgx.Tx) error {
				batch := &pgx.Batch{}
				batch.Queue("INSERT INTO public.orders VALUES (gen_random_uuid())")
				if err := outbox.Queue(ctx, batch, events...); err != nil {
					return err
				}
				return tx.SendBatch(ctx, batch).Close()
			}},
			{"tandem.add", func(ctx context.Context, tx pgx.Tx) error {
				if err := insertOrder(ctx, tx); err != nil {
					return err
				}
				return addBySQL(ctx, tx, events...)
			}},
		} {
			b.Run(fmt.Sprintf("%s/events=%d", c.name, n), func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, pgx.BeginFunc(b.Context(), conn, func(tx pgx.Tx) error { return c.work(b.Context(), tx) }))
				}
			})
		}
	}
	b.Run("control SELECT 1", func(b *testing.B) {
		for b.Loop() {
			_, err := conn.Exec(b.Context(), "SELECT 1")
			require.NoError(b, err)
		}
	})
}

func insertOrder(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "INSERT INTO public.orders VALUES (gen_random_uuid())")
	return err
}
