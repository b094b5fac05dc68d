package inboxhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// A handler that fails has no effect and leaves no claim: the next attempt is a
// first one.
func TestAFailureStoresNothing(t *testing.T) {
	t.Parallel()
	query := func(r *http.Request, tx pgx.Tx, statement string) { _, _ = tx.Exec(r.Context(), statement) }
	for name, c := range map[string]struct {
		handle handler
		status int
		logged string
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request, _ pgx.Tx) { http.Error(w, "mine", 500) }, 500, ""},
		"503 with a failed statement": {func(w http.ResponseWriter, r *http.Request, tx pgx.Tx) {
			query(r, tx, `SELECT 1/0`)
			http.Error(w, "mine", http.StatusServiceUnavailable)
		}, 503, ""},
		"a panic": {func(http.ResponseWriter, *http.Request, pgx.Tx) { panic("oh no") }, 500, "failure_test.go"},
		"a panic after an answer": {func(w http.ResponseWriter, _ *http.Request, _ pgx.Tx) {
			_, _ = io.WriteString(w, "fine")
			panic(fmt.Errorf("oh no"))
		}, 500, "oh no"},
		"an impossible status": {func(w http.ResponseWriter, _ *http.Request, _ pgx.Tx) { w.WriteHeader(42) }, 500, "invalid status 42"},
		"101":                  {func(w http.ResponseWriter, _ *http.Request, _ pgx.Tx) { w.WriteHeader(101) }, 500, "protocols"},
		"a header with a control character": {func(w http.ResponseWriter, _ *http.Request, _ pgx.Tx) {
			w.Header().Set("X", "\x00")
		}, 500, "a header that HTTP does not allow"},
		"a failed statement and 200": {func(_ http.ResponseWriter, r *http.Request, tx pgx.Tx) { query(r, tx, `SELECT 1/0`) }, 500, "a statement of the handler failed"},
		"rows left open": {func(_ http.ResponseWriter, r *http.Request, tx pgx.Tx) {
			_, _ = tx.Query(r.Context(), `SELECT generate_series(1, 100000)`) //nolint:rowserrcheck,sqlclosecheck // that it is left open is the point
		}, 500, "close its rows"},
		"a constraint at the COMMIT": {func(_ http.ResponseWriter, r *http.Request, tx pgx.Tx) {
			query(r, tx, `CREATE TEMP TABLE one (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP`)
			query(r, tx, `INSERT INTO one VALUES (1), (1)`)
		}, 500, "23505"},
		"the savepoint given up": {func(w http.ResponseWriter, r *http.Request, tx pgx.Tx) {
			query(r, tx, `RELEASE SAVEPOINT tandem_request`)
			w.WriteHeader(http.StatusBadRequest)
		}, 500, "tandem_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			fail := true
			url := w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
				if !fail {
					pay(rw, r, tx)
					return
				}
				require.NoError(t, effect(r, tx, "undone"))
				c.handle(rw, r, tx)
			})
			// A connection that was given up holds the key until the server has noticed.
			post := func() reply {
				for began := time.Now(); ; {
					if got := w.post(url, "k", "10 EUR"); got.status != http.StatusConflict || time.Since(began) > 30*time.Second {
						return got
					}
				}
			}
			for range 2 {
				got := post()
				require.Equal(t, c.status, got.status, got.body)
				require.False(t, got.replayed)
				if c.logged == "" {
					require.Equal(t, "mine\n", got.body)
					require.Empty(t, w.logs.String())
				} else {
					require.Equal(t, "internal", got.problem(t))
					require.Contains(t, w.logs.String(), c.logged)
				}
			}
			require.Empty(t, w.effects())
			require.Zero(t, w.kept())
			fail = false
			require.Equal(t, http.StatusCreated, post().status)
		})
	}
}

// http.ErrAbortHandler asks net/http to cut the connection.
func TestAnAbortGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := w.serve(func(_ http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		require.NoError(t, effect(r, tx, "undone"))
		panic(http.ErrAbortHandler)
	})
	_, err := send(t.Context(), url, "k", "10 EUR")
	require.Error(t, err)
	require.Empty(t, w.effects())
	require.Zero(t, w.kept())
}

// A refusal is the same the next time, and what the handler did before it
// refused is undone.
func TestARefusalIsKeptAndItsEffectsAreNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	runs := 0
	refuse := func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		runs++
		require.NoError(t, effect(r, tx, "before the refusal"))
		if r.URL.Path == "/failed" {
			_, err := tx.Exec(r.Context(), `INSERT INTO app.counters (name) VALUES ('x'), ('x')`)
			require.Error(t, err)
		}
		http.Error(rw, "no "+strconv.Itoa(runs), http.StatusConflict)
	}
	url := w.serve(refuse)
	for i, path := range []string{"/", "/failed"} {
		for attempt := range 2 {
			got := w.post(url+path, path, "")
			require.Equal(t, http.StatusConflict, got.status)
			require.Equal(t, "no "+strconv.Itoa(i+1)+"\n", got.body)
			require.Equal(t, attempt == 1, got.replayed)
		}
	}
	require.Empty(t, w.effects())
	require.Equal(t, 2, w.kept())
	require.Empty(t, w.logs.String())

	w.config.Consumer = "audited"
	w.config.Commit = func(status int) bool { return status == http.StatusConflict }
	url = w.serve(refuse)
	require.Equal(t, http.StatusConflict, w.post(url, "k", "").status)
	require.Equal(t, http.StatusInternalServerError, w.post(url+"/failed", "l", "").status)
	require.Equal(t, []string{"before the refusal"}, w.effects())

	// Without a key there is nothing to keep.
	w.config = inboxhttp.Config{Consumer: "c", Scope: inboxhttp.OneClient, OptionalKey: true, Logger: w.config.Logger}
	require.Equal(t, http.StatusConflict, w.post(w.serve(refuse), "", "").status)
	require.Equal(t, []string{"before the refusal"}, w.effects())
}

// Whatever a handler that ends the transaction by SQL has committed, it is found
// out, and no answer of another transaction is kept.
func TestAHandlerThatEndsTheTransactionIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string][]string{
		"commit":                        {`COMMIT`},
		"rollback":                      {`ROLLBACK`},
		"commit and chain":              {`COMMIT AND CHAIN`},
		"a transaction after":           {`COMMIT`, `BEGIN`},
		"a transaction and a savepoint": {`COMMIT`, `BEGIN`, `SAVEPOINT tandem_request`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			url := w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
				for _, s := range statements {
					_, err := tx.Exec(r.Context(), s)
					require.NoError(t, err)
				}
				if r.URL.Path == "/refuse" {
					rw.WriteHeader(http.StatusBadRequest)
				}
			})
			for i, path := range []string{"", "/refuse"} {
				got := w.post(url+path, fmt.Sprint(i), "")
				require.Equal(t, http.StatusInternalServerError, got.status)
			}
			require.Contains(t, w.logs.String(), "ended the request's transaction itself")
			require.Zero(t, w.kept())
		})
	}
}

func TestTheTransactionIsNotTheHandlersToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		require.ErrorContains(t, tx.Commit(r.Context()), "ended by the middleware")
		require.ErrorContains(t, tx.Rollback(r.Context()), "ended by the middleware")
		savepoint, err := tx.Begin(r.Context())
		require.NoError(t, err)
		require.NoError(t, effect(r, savepoint, "undone"))
		require.NoError(t, savepoint.Rollback(r.Context()))
		pay(rw, r, tx)
	})
	require.Equal(t, http.StatusCreated, w.post(url, "k", "10 EUR").status)
	require.Equal(t, []string{"10 EUR"}, w.effects())
}

func TestADatabaseThatIsNotReadyIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.Schema = "elsewhere"
	got := w.post(w.serve(pay), "k", "10 EUR")
	require.Equal(t, "internal", got.problem(t))
	require.Contains(t, w.logs.String(), "tandem migrate up")

	w.config.Schema = ""
	_, err := w.admin.Exec(t.Context(), `REVOKE ALL ON tandem.inbox_answer FROM tandem_consumer`)
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, w.post(w.serve(pay), "k", "10 EUR").status)
	require.Contains(t, w.logs.String(), "GRANT tandem_consumer TO")
	require.Empty(t, w.effects())
}

// Who finds no connection is told to come again, and has waited for no longer
// than it was allowed.
func TestAPoolWithoutAConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config, err := pgxpool.ParseConfig(testinbox.AsConsumer(t, w.url))
	require.NoError(t, err)
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	taken, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	w.config.BeginTimeout = 10 * time.Millisecond
	short, err := inboxhttp.New(w.config, pool)
	require.NoError(t, err)
	got := w.post(w.serveHandler(short.Handle(pay)), "k", "10 EUR")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "unavailable", got.problem(t))
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Contains(t, w.logs.String(), "Config.BeginTimeout is 10ms")
	taken.Release()
	w.config.BeginTimeout = time.Minute
	long, err := inboxhttp.New(w.config, pool)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, w.post(w.serveHandler(long.Handle(pay)), "k", "10 EUR").status)
}
