package upkeep

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// With a relay's rights, and with a consumer's: all that has expired goes, in
// batches, whatever fails beside it.
func TestAllIsDone(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"tandem_relay", "tandem_consumer"} {
		config, err := pgxpool.ParseConfig(testservers.Migrated(t))
		require.NoError(t, err)
		admin, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		defer admin.Close()
		exec := func(statement string) {
			_, err := admin.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
		exec(`INSERT INTO tandem.inbox_foreign SELECT 'billing', n::text, now() - interval '91 days' FROM generate_series(1, 25) AS n`)
		limited := config.Copy()
		limited.ConnConfig.RuntimeParams["role"], limited.ConnConfig.RuntimeParams["search_path"] = role, ""
		pool, err := pgxpool.NewWithConfig(t.Context(), limited)
		require.NoError(t, err)
		defer pool.Close()

		done, err := step(t.Context(), pool, "", 10)
		require.NoError(t, err)
		require.Equal(t, Done{Expired: 10, More: true}, done)
		done, err = all(t.Context(), pool, "", 10)
		require.NoError(t, err)
		require.Equal(t, Done{Expired: 15}, done)

		exec(`INSERT INTO tandem.inbox_foreign VALUES ('billing', 'one more', now() - interval '91 days')`)
		exec(`ALTER FUNCTION tandem.maintain_inbox() RENAME TO gone`)
		done, err = All(t.Context(), pool, "")
		require.ErrorContains(t, err, "make and empty leaves of the inbox")
		require.Equal(t, Done{Expired: 1}, done)
	}
}

// answers is a database that fails as often as it is told to.
type answers struct {
	failures int
	asked    []time.Time
}

func (a *answers) QueryRow(_ context.Context, sql string, _ ...any) pgx.Row {
	if strings.Contains(sql, "maintain_inbox") {
		a.asked = append(a.asked, time.Now())
		if a.failures > 0 {
			a.failures--
			return failure{errors.New("no answer")}
		}
	}
	return failure{}
}

type failure struct{ err error }

func (f failure) Scan(...any) error { return f.err }

// At once and every hour, or a little sooner; after a failure a minute later, and
// then less and less often.
func TestRunGoesOnUntilItIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		db, ended := &answers{failures: 3}, make(chan struct{})
		var said bytes.Buffer
		go func() {
			defer close(ended)
			Run(ctx, db, "", slog.New(slog.NewTextHandler(&said, nil)))
		}()
		<-time.After(10 * time.Hour)
		cancel()
		<-ended
		require.GreaterOrEqual(t, len(db.asked), 12)
		for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, time.Hour, time.Hour} {
			pause := db.asked[i+1].Sub(db.asked[i])
			require.LessOrEqual(t, pause, want)
			require.Greater(t, pause, want*3/4)
		}
		require.Equal(t, 3, strings.Count(said.String(), "cannot maintain the inbox's storage"))
	})
}
