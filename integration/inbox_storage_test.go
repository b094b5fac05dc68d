package integration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// inboxStore is a database with an inbox and a table of effects.
type inboxStore struct {
	url  string
	pool *pgxpool.Pool
}

func newInboxStore(t testing.TB) *inboxStore {
	t.Helper()
	url := testservers.Migrated(t)
	pool, err := pgxpool.New(context.Background(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := &inboxStore{url: url, pool: pool}
	s.exec(t, `CREATE TABLE public.effects (name text)`)
	return s
}

func (s *inboxStore) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

// fill records n ids of consumer "billing", made at equal distances between two
// moments, which are SQL.
func (s *inboxStore) fill(t testing.TB, n int, from, to string) {
	t.Helper()
	s.exec(t, fmt.Sprintf(`INSERT INTO tandem.inbox SELECT 'billing', (substr(tandem.uuid_at(%[1]s + (%[2]s - (%[1]s)) * (n / %[3]d.0))::text, 1, 15)
		|| lpad(to_hex(n %% 4096), 3, '0') || '-8000-' || lpad(to_hex(n), 12, '0'))::uuid FROM generate_series(1, %[3]d) AS n`, from, to, n))
	s.exec(t, `VACUUM ANALYZE tandem.inbox`)
	s.exec(t, `CHECKPOINT`)
}

// batch applies a batch as a consumer does: ids first, an effect for each that
// is new, commit.
func (s *inboxStore) batch(ctx context.Context, conn *pgx.Conn, ids []string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `INSERT INTO tandem.inbox (consumer, message_id)
			SELECT 'billing', id FROM unnest($1::text[]::uuid[]) AS id ORDER BY id ON CONFLICT DO NOTHING RETURNING message_id::text`, ids)
		if err != nil {
			return err
		}
		first, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO public.effects SELECT unnest($1::text[])`, first)
		return err
	})
}

func newIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7()).String()
	}
	return ids
}

// overlapping applies batches in two sessions, half of each batch being the other
// session's too, until stop is called. That returns the longest that a batch took,
// and how many there were.
func (s *inboxStore) overlapping(t testing.TB) (stop func() (longest time.Duration, n int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var longest time.Duration
	var n int
	shared := newIDs(50)
	var working sync.WaitGroup
	work := func(conn *pgx.Conn) error {
		for ctx.Err() == nil {
			mu.Lock()
			ids := append(newIDs(50), shared...)
			shared = ids[:50]
			mu.Unlock()
			began := time.Now()
			if err := s.batch(context.WithoutCancel(ctx), conn, ids); err != nil {
				return err
			}
			mu.Lock()
			longest, n = max(longest, time.Since(began)), n+1
			mu.Unlock()
		}
		return nil
	}
	for range 2 {
		config, err := pgx.ParseConfig(s.url)
		require.NoError(t, err)
		config.RuntimeParams["application_name"] = "batch"
		conn, err := pgx.ConnectConfig(t.Context(), config)
		require.NoError(t, err)
		working.Go(func() {
			defer conn.Close(context.Background())
			if err := work(conn); err != nil {
				t.Errorf("a batch: %v", err)
			}
		})
	}
	return func() (time.Duration, int) {
		cancel()
		working.Wait()
		return longest, n
	}
}

// oldest is the oldest leaf of the inbox.
func (s *inboxStore) oldest(t testing.TB) string {
	t.Helper()
	var leaf string
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT 'tandem.' || tandem.inbox_leaf_name(tandem.inbox_floor_time())`).Scan(&leaf))
	return leaf
}

// Retention empties a leaf of many ids under batches that run, and they go on.
func TestRetentionHoldsNoBatchUp(t *testing.T) {
	t.Parallel()
	s := newInboxStore(t)
	leaf := s.oldest(t)
	s.fill(t, 100_000, "tandem.inbox_floor_time()", "tandem.inbox_floor_time() + interval '6 days'")
	stop := s.overlapping(t)
	s.exec(t, `UPDATE tandem.inbox_bounds SET retention = '1 day'`)
	require.Eventually(t, func() bool {
		var emptied int
		require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT emptied FROM tandem.maintain_inbox()`).Scan(&emptied))
		return emptied > 0
	}, time.Minute, 20*time.Millisecond)
	_, n := stop()
	require.Positive(t, n)
	var ids, effects int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM `+leaf+`), (SELECT count(*) FROM tandem.inbox) - (SELECT count(*) FROM public.effects)`).Scan(&ids, &effects))
	require.Zero(t, ids)
	require.Zero(t, effects, "as many ids as effects")
}
