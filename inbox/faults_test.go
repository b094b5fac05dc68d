package inbox_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/faultyconn"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// handled handles a message, as a webhook does.
func handled(ctx context.Context, conn *pgx.Conn, id string) (first bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if first, err = inbox.Once(ctx, tx, "billing", id); err != nil || !first {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO app.effects (name) VALUES ($1)`, id)
		return err
	})
	return first, err
}

// Whichever message between a consumer and Postgres is the last one, and though the
// delivery is repeated at once, while the server may still be at work on the first:
// one effect, no error of its own, and no yes for what is not there.
func TestTheConnectionFailsAtEachMessage(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	admin := testinbox.Pool(t, address)
	testinbox.Effects(t, admin)
	whole, err := pgx.Connect(t.Context(), testinbox.AsConsumer(t, address))
	require.NoError(t, err)
	defer whole.Close(context.Background())
	faulty, line := whole.Config(), faultyconn.New(faultyconn.Postgres)
	faulty.DialFunc = line.Dial
	known := map[bool]int{} // repetitions after an error, by whether the first had been committed
	disturbed := line.Each(1, func(at int, how faultyconn.How) {
		line.Break(0, how)
		conn, err := pgx.ConnectConfig(t.Context(), faulty)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		line.Break(at, how)
		id := uuid.Must(uuid.NewV7()).String()
		if at%2 == 0 {
			id = "foreign " + id
		}
		first, err := handled(t.Context(), conn, id)
		require.True(t, first || err != nil)
		again, failed := handled(t.Context(), whole, id)
		require.NoError(t, failed, "message %d %v", at, how)
		require.False(t, err == nil && again)
		if err != nil {
			known[!again]++
		}
		require.Equal(t, 1, testinbox.Count(t, admin, `SELECT count(*) FROM app.effects WHERE name = $1`, id), "message %d %v", at, how)
	})
	require.Greater(t, disturbed, 20)
	require.NotZero(t, known[true], "no answer to a commit was lost")
	require.NotZero(t, known[false])
}
