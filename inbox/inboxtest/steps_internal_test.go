package inboxtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// The steps are those of the whole transaction, with the moment that nobody can know
// of: it was committed, and the client has not heard.
func TestStepsHaveNames(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), testservers.Migrated(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	effects := 0
	_, err = pool.Exec(t.Context(), `CREATE TABLE public.effects (n int)`)
	require.NoError(t, err)
	r := &crashes{TB: t, name: "steps", Crash: Crash{
		Pool: pool, Messages: []inbox.Message{FromEvent(outbox.Event{Topic: "orders"})},
		Handler: func(ctx context.Context, tx pgx.Tx, _ inbox.Message) error {
			_, err := tx.Exec(ctx, `INSERT INTO public.effects VALUES (1)`)
			return err
		},
		Reset: func() {
			_, err := pool.Exec(t.Context(), `TRUNCATE public.effects`)
			require.NoError(t, err)
		},
		Effects: func() any {
			require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM public.effects`).Scan(&effects))
			return effects
		},
	}}
	r.check()
	r.undisturbed()
	for r.disturbed(len(r.broke) + 1) {
	}
	for _, step := range []string{
		`the client's wish to prepare "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE" did not reach the server`,
		`the server's answer INSERT 0 1, which was carried out, did not reach the client`,
		`the client's "INSERT INTO public.effects VALUES (1)" did not reach the server`,
		`the client's "commit" did not reach the server`,
		`the server's answer COMMIT, which was carried out, did not reach the client`,
	} {
		require.Contains(t, r.broke, step)
	}
}
