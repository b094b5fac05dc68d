package inboxkafka_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// byTransaction puts a PgBouncer before w.pool that shares few sessions, transaction
// by transaction, and has pgx keep no prepared statement, as docs/deploying.md says.
func (w *world) byTransaction(mode string) {
	w.Helper()
	w.logIn()
	direct := w.pool.Config().ConnString()
	through, err := url.Parse(testservers.PgBouncer(w, "pool_mode = transaction\ndefault_pool_size = 5", direct))
	require.NoError(w, err)
	q := through.Query()
	q.Set("default_query_exec_mode", mode)
	through.RawQuery = q.Encode()
	w.pool = testinbox.Pool(w, through.String())
}

// What a consumer does, it does through a pooler by transaction too: batches and
// fences, retries, messages that are set aside, and what operators ask for.
func TestAConsumerThroughAPoolerByTransaction(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"exec", "cache_describe", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.byTransaction(mode)
			refuse := make(chan struct{})
			config := w.config()
			config.MaxAttempts = 2
			w.start(config, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
				select {
				case <-refuse:
				default:
					if string(m.Value) == "refused" {
						return errors.New("not now")
					}
				}
				return effect(ctx, tx, m)
			})
			w.send(keyed(0, "a", "a1"), keyed(0, "b", "refused"), keyed(0, "b", "b2"), keyed(1, "c", "c1"))
			w.awaitParked(1)
			require.ElementsMatch(t, []string{"a1", "c1"}, w.awaitEffects(2))
			close(refuse)
			w.redrive()
			require.ElementsMatch(t, []string{"a1", "c1", "refused", "b2"}, w.awaitEffects(4))
			w.send(keyed(0, "a", "a2"))
			w.awaitCommitted(0, 4)
			require.Len(t, w.effects(), 5)
		})
	}
}

func TestAConsumerOfDatabaseSQLThroughAPoolerByTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.byTransaction("exec")
	db := stdlib.OpenDBFromPool(w.pool)
	defer db.Close()
	consumer, err := inboxkafka.NewSQLConsumer(w.config(), db, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO app.effects (name) VALUES ($1)`, string(m.Value))
		return err
	})
	require.NoError(t, err)
	w.run(consumer)
	w.produce(0, "a", "b", "c")
	require.Equal(t, []string{"a", "b", "c"}, w.awaitEffects(3))
}

// Through a pooler a client does not know its session's number by itself.
func TestAnOwnerFrozenWithinARequestIsEvictedThroughAPooler(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	_, err := w.admin.Exec(t.Context(), `SELECT tandem.claim_inbox_partition('billing', 'orders', 0, 'frozen')`)
	require.NoError(t, err)
	w.byTransaction("exec")
	frozen, err := w.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer frozen.Release()
	tx, err := frozen.Begin(t.Context())
	require.NoError(t, err)
	var session int
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&session))
	front := frozen.Conn().PgConn().Frontend()
	front.SendParse(&pgproto3.Parse{Query: `SELECT FROM tandem.inbox_partition FOR KEY SHARE`})
	front.SendBind(&pgproto3.Bind{})
	front.SendExecute(&pgproto3.Execute{})
	require.NoError(t, front.Flush()) // and no Sync
	w.awaitRow(`SELECT count(*) > 0 FROM pg_locks WHERE relation = 'tandem.inbox_partition'::regclass AND mode = 'RowShareLock' AND pid = $1`, session)

	w.produce(0, "a")
	config := w.config()
	config.IdleTimeout, config.LockTimeout = time.Second, 200*time.Millisecond
	w.start(config, effect)
	require.Equal(t, []string{"a"}, w.awaitEffects(1))
	require.Contains(t, strings.Join(w.logs.of(slog.LevelWarn), "\n"), "session was ended")
}
