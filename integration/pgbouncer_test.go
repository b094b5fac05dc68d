package integration_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/inbox/inboxsql"
	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

// In session mode PgBouncer is as good as the server: a relay works through it, and
// another stands by and takes over when the first is killed. (It is not told to stop:
// it would cancel a statement, of which PgBouncer 1.18 may die.)
func TestRelaysThroughPgBouncerInSessionMode(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	binary := program(t, "tandem")
	through := &shop{brokers: s.brokers}
	through.url = testservers.PgBouncer(t, "pool_mode = session\ndefault_pool_size = 12", s.url)
	first := through.startRelay(t, binary)
	first.awaitLog(t, "msg=relaying")
	through.startRelay(t, binary).awaitLog(t, "standing by")
	s.writeAtRandom(t, 1)
	s.awaitTopic(t, s.events()/2)
	require.NoError(t, first.Process.Kill())
	s.writeAtRandom(t, 2)
	s.read(t)
	s.awaitSaved(t)
}

// In transaction mode it is refused, before a broker is asked for.
func TestARelayThroughPgBouncerInTransactionModeIsRefused(t *testing.T) {
	t.Parallel()
	through := testservers.PgBouncer(t, "pool_mode = transaction", testservers.Migrated(t))
	cmd := exec.CommandContext(t.Context(), program(t, "tandem"), "relay")
	cmd.Env = append(testprograms.Environ(), "TANDEM_DATABASE_URL="+through, "TANDEM_KAFKA_BROKERS=127.0.0.1:1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
	page, err := os.ReadFile("../docs/deploying.md")
	require.NoError(t, err)
	const says = "there is a pooler before the database that shares its sessions between connections, transaction by transaction"
	require.Contains(t, string(out), says)
	require.Contains(t, strings.Join(strings.Fields(string(page)), " "), says, "docs/deploying.md")
}

// The two ways of deploy/pgbouncer/pgbouncer.ini: a relay starts on one of them alone.
func TestThePgBouncerOfTheDocuments(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	u, err := url.Parse(database)
	require.NoError(t, err)
	ini, err := os.ReadFile("../deploy/pgbouncer/pgbouncer.ini")
	require.NoError(t, err)
	settings := strings.NewReplacer("postgres.example.com", u.Hostname(), "port=5432", "port="+u.Port(), "dbname=shop", "dbname="+strings.TrimPrefix(u.Path, "/")).Replace(string(ini))
	through, err := url.Parse(testservers.PgBouncer(t, settings, database))
	require.NoError(t, err)
	binary := program(t, "tandem")
	for name, says := range map[string]string{"shop": "there is a pooler before the database", "shop_session": "broker"} {
		through.Path = "/" + name
		cmd := exec.CommandContext(t.Context(), binary, "relay", "--start-timeout=5s")
		cmd.Env = append(testprograms.Environ(), "TANDEM_DATABASE_URL="+through.String(), "TANDEM_KAFKA_BROKERS=127.0.0.1:1")
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), says, name)
	}
}

// modes are pgx's that keep nothing in a session: docs/deploying.md.
var modes = []string{"exec", "cache_describe", "simple_protocol"}

// throughTransactions is the URL of a PgBouncer that shares two sessions, transaction
// by transaction.
func throughTransactions(t testing.TB, address, mode string) string {
	t.Helper()
	u, err := url.Parse(testservers.PgBouncer(t, "pool_mode = transaction\ndefault_pool_size = 2", address))
	require.NoError(t, err)
	q := u.Query()
	q.Set("default_query_exec_mode", mode)
	u.RawQuery = q.Encode()
	return u.String()
}

// What a service calls works through PgBouncer in transaction mode.
func TestServicesThroughPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			direct := testservers.Migrated(t)
			address := throughTransactions(t, direct, mode)
			pool, err := pgxpool.New(t.Context(), address)
			require.NoError(t, err)
			defer pool.Close()
			db, err := sql.Open("pgx", address)
			require.NoError(t, err)
			defer db.Close()
			for round := range 5 { // so that sessions have been used by others
				writes(t, pool, db, round)
				reads(t, pool, db, round)
			}
			requestsOnce(t, pool)

			conn, err := pgx.Connect(t.Context(), direct)
			require.NoError(t, err)
			defer conn.Close(t.Context())
			rows, err := conn.Query(t.Context(), `SELECT coalesce(key, 'none') || ' ' || coalesce(convert_from(payload, 'UTF8'), 'NULL') || ' ' || coalesce(partition::text, '')
				|| ' ' || coalesce(not_before::date::text, '') || ' ' || coalesce(headers->>'h', '') FROM tandem.log ORDER BY position`)
			require.NoError(t, err)
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			var wanted []string
			for round := range 5 {
				wanted = append(wanted, fmt.Sprintf("one 1-%d   ", round), fmt.Sprintf("k 2-%d 3 2030-01-01 é", round), "none NULL   ",
					fmt.Sprintf("queued 3-%d   ", round), fmt.Sprintf("sql 4-%d   ", round), fmt.Sprintf(`function {"n" : %d}   `, round))
			}
			require.Equal(t, wanted, found)
		})
	}
}

// writes adds events in each of the ways there are.
func writes(t testing.TB, pool *pgxpool.Pool, db *sql.DB, round int) {
	t.Helper()
	ctx := t.Context()
	payload := func(n int) []byte { return fmt.Appendf(nil, "%d-%d", n, round) }
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := outbox.LockKey(ctx, tx, "one", "two"); err != nil {
			return err
		}
		if err := outbox.Add(ctx, tx, outbox.Event{Topic: "orders", Key: "one", Payload: payload(1)}); err != nil {
			return err
		}
		partition := int32(3)
		return outbox.Add(ctx, tx, outbox.Event{Topic: "orders", Key: "k", Payload: payload(2), Partition: &partition, Type: "t",
			Headers: map[string]string{"h": "é"}, NotBefore: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}, outbox.Event{Topic: "orders", AtMostOnce: true, Tombstone: true})
	}))
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`SELECT 1`)
		if err := outbox.Queue(ctx, batch, outbox.Event{Topic: "orders", Key: "queued", Payload: payload(3)}); err != nil {
			return err
		}
		return tx.SendBatch(ctx, batch).Close()
	}))
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, outboxsql.Add(ctx, tx, outbox.Event{Topic: "orders", Key: "sql", Payload: payload(4)}))
	require.NoError(t, tx.Commit())
	_, err = pool.Exec(ctx, `SELECT tandem.add('orders', json_build_object('n', $1::integer), key => 'function')`, round)
	require.NoError(t, err)

	var invalid *outbox.InvalidEventError
	require.ErrorAs(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return outbox.Add(ctx, tx, outbox.Event{Topic: "orders", Payload: make([]byte, 1_000_000)})
	}), &invalid)
	require.Equal(t, "payload", invalid.Field)
}

// reads asks for ids of both kinds, twice.
func reads(t testing.TB, pool *pgxpool.Pool, db *sql.DB, round int) {
	t.Helper()
	ctx := t.Context()
	for n, id := range []string{outbox.NewID(), fmt.Sprint("foreign ", round)} {
		for _, first := range []bool{true, false} {
			require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				is, err := inbox.Once(ctx, tx, "billing", id)
				require.Equal(t, first, is, "%d", n)
				return err
			}))
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			is, err := inboxsql.Once(ctx, tx, "shipping", id)
			require.NoError(t, err)
			require.Equal(t, first, is)
			require.NoError(t, tx.Commit())
		}
	}
}

// requestsOnce sends a request twice.
func requestsOnce(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	once, err := inboxhttp.New(inboxhttp.Config{Consumer: "payments", Scope: func(*http.Request) (string, error) { return "shop", nil }}, pool)
	require.NoError(t, err)
	handled := 0
	handler := once.Handle(func(w http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		handled++
		var n int
		if err := tx.QueryRow(r.Context(), `SELECT $1::integer`, handled).Scan(&n); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	for _, replayed := range []string{"", "true"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/payments", strings.NewReader("{}"))
		r.Header.Set("Idempotency-Key", `"k"`)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, http.StatusCreated, w.Code, w.Body.String())
		require.Equal(t, replayed, w.Header().Get("Idempotent-Replayed"))
	}
	require.Equal(t, 1, handled)
}
