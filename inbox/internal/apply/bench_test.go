package apply_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
)

// One effect row for each message, with the inbox and without, in batches of
// the same size. "set" is a handler that writes the effects of the batch in one
// statement, at its last message: there the handler's round trips, which are
// most of the rest, fall away.
func BenchmarkBatch(b *testing.B) {
	for _, size := range []int{1, 100, 500} {
		b.Run(fmt.Sprintf("size=%d/without", size), func(b *testing.B) { benchmarkBatch(b, size, false, false) })
		b.Run(fmt.Sprintf("size=%d/inbox", size), func(b *testing.B) { benchmarkBatch(b, size, true, false) })
		b.Run(fmt.Sprintf("size=%d/set/without", size), func(b *testing.B) { benchmarkBatch(b, size, false, true) })
		b.Run(fmt.Sprintf("size=%d/set/inbox", size), func(b *testing.B) { benchmarkBatch(b, size, true, true) })
	}
}

func benchmarkBatch(b *testing.B, size int, withInbox, set bool) {
	_, pool := databases(b)
	handler := effect
	if set {
		names := make([]string, 0, size)
		handler = func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
			if names = append(names, string(m.Value)); len(names) < size {
				return nil
			}
			_, err := tx.Exec(ctx, `INSERT INTO app.effects (name) SELECT unnest($1::text[])`, names)
			names = names[:0]
			return err
		}
	}
	a := applier(pool, handler)
	run := func(batch []inbox.Message) error {
		_, err := a.Apply(b.Context(), batch)
		return err
	}
	if !withInbox {
		run = func(batch []inbox.Message) error {
			return pgx.BeginFunc(b.Context(), pool, func(tx pgx.Tx) error {
				for _, m := range batch {
					if err := handler(b.Context(), tx, m); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	values := make([]string, size)
	for b.Loop() {
		b.StopTimer()
		batch := messages(values...)
		for i := range batch {
			batch[i].ID = batch[i].ID[len(batch[i].ID)-36:] // UUIDv7 all
		}
		b.StartTimer()
		require.NoError(b, run(batch))
	}
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
