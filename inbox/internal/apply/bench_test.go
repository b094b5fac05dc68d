package apply_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// One effect row, of a table with a primary key, for each message. "set" writes the effects of a batch in one
// statement, "each" is called for each message and has a round trip for each;
// "pipelined" sends a statement for each in one round trip. Each of them with the
// inbox and without, in turns, in one run: batches of 100, or (each=1) one
// transaction a message.
func BenchmarkBatch(b *testing.B) {
	ways := map[string]func(context.Context, pgx.Tx, []inbox.Message) error{
		"set": set, "pipelined": pipelined,
	}
	for name, way := range ways {
		b.Run(name, func(b *testing.B) { compare(b, way) })
	}
	b.Run("each", func(b *testing.B) { compare(b, nil) })
}

const batchSize = 100

// compare runs the three against each other and reports messages a second, the
// median of the rounds.
func compare(b *testing.B, many func(context.Context, pgx.Tx, []inbox.Message) error) {
	admin, pool := databases(b)
	// As tables of businesses have it.
	_, err := admin.Exec(b.Context(), `ALTER TABLE app.effects ADD PRIMARY KEY (n)`)
	require.NoError(b, err)
	c := config(pool, effect)
	if many != nil {
		c.Each = false
		c.Handler = func(ctx context.Context, s *apply.Session, m []inbox.Message) error { return many(ctx, s.Tx, m) }
	}
	batched, single := apply.New(c), apply.New(config(pool, effect))
	fence, _, err := batched.Claim(b.Context(), "orders", 0, "benchmark")
	require.NoError(b, err)
	contestants := []contestant{
		{"inbox", func(m []inbox.Message) error {
			_, err := batched.Apply(b.Context(), fence, items(m))
			return err
		}, batchSize},
		{"without", func(m []inbox.Message) error { return without(b.Context(), pool, many, m) }, batchSize},
		{"single", func(m []inbox.Message) error {
			_, err := single.Apply(b.Context(), fence, items(m))
			return err
		}, 1},
	}
	race(b, admin, contestants)
}

// without is what a service does that does not care for duplicates.
func without(ctx context.Context, pool *pgxpool.Pool, many func(context.Context, pgx.Tx, []inbox.Message) error, batch []inbox.Message) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if many != nil {
			return many(ctx, tx, batch)
		}
		for _, m := range batch {
			if err := effect(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func set(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
	names := make([]string, len(batch))
	for i, m := range batch {
		names[i] = string(m.Value)
	}
	_, err := tx.Exec(ctx, `INSERT INTO app.effects (name) SELECT unnest($1::text[])`, names)
	return err
}

func pipelined(ctx context.Context, tx pgx.Tx, batch []inbox.Message) error {
	b := &pgx.Batch{}
	for _, m := range batch {
		b.Queue(`INSERT INTO app.effects (name) VALUES ($1)`, string(m.Value))
	}
	return tx.SendBatch(ctx, b).Close()
}

// BenchmarkPoison is what isolation costs: one message in 10,000 fails, or one in
// each batch of 100, against none.
func BenchmarkPoison(b *testing.B) {
	admin, pool := databases(b)
	poison := errors.New("poison")
	c := config(pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if err := effect(ctx, tx, m); err != nil {
			return err
		}
		if string(m.Value) == "poison" {
			return poison
		}
		return nil
	})
	a := apply.New(c)
	fence, _, err := a.Claim(b.Context(), "orders", 0, "benchmark")
	require.NoError(b, err)
	run := func(every int) func([]inbox.Message) error {
		n := 0
		return func(m []inbox.Message) error {
			if n++; every > 0 && n%every == 0 {
				m[batchSize/2].Value = []byte("poison")
			}
			return isolate(b.Context(), a, fence, items(m))
		}
	}
	race(b, admin, []contestant{{"clean", run(0), batchSize}, {"one in 10000", run(100), batchSize}, {"one in 100", run(1), batchSize}})
}

// isolate does what a runner does: the messages before the one that failed, then
// that one alone is set aside, with those behind it.
func isolate(ctx context.Context, a *apply.Applier, fence *apply.Fence, batch []apply.Item) error {
	limit := len(batch)
	for len(batch) > 0 {
		_, err := a.Apply(ctx, fence, batch[:limit])
		var f *apply.Failure
		switch {
		case err == nil:
			batch = batch[limit:]
			limit = len(batch)
		case !errors.As(err, &f):
			return err
		case f.Handled > 0:
			limit = f.Index
		default:
			m := &batch[f.Index].Message
			batch[f.Index].Verdict = &apply.Verdict{State: apply.Parked, Scope: apply.None, Lane: apply.LaneOf(m, apply.None), Err: f.Err, Attempts: 1}
		}
	}
	return nil
}

type contestant struct {
	name string
	run  func([]inbox.Message) error
	size int
}

// fresh gives every message a new id of Tandem's kind, made now.
func fresh(n int) []inbox.Message {
	batch := make([]inbox.Message, n)
	for i := range batch {
		batch[i] = inbox.Message{ID: uuid.Must(uuid.NewV7()).String(), Topic: "orders", Offset: int64(i), Value: []byte(fmt.Sprintf("effect %d", i))}
	}
	return batch
}
