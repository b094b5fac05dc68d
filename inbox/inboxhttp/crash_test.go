package inboxhttp_test

import (
	"context"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/pgproxy"
)

// The connection is cut in the middle of a handler, as when the process dies:
// neither an effect nor a claim remains.
func TestACrashLeavesNoClaim(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(http.ResponseWriter, *http.Request, pgx.Tx){
		"and the handler goes on":   func(http.ResponseWriter, *http.Request, pgx.Tx) {},
		"and the handler refuses":   func(w http.ResponseWriter, _ *http.Request, _ pgx.Tx) { w.WriteHeader(http.StatusConflict) },
		"and the handler sees it":   pay,
		"and the handler sees that": func(_ http.ResponseWriter, r *http.Request, tx pgx.Tx) { _ = effect(r, tx, "undone") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			crash := true
			url := w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
				if !crash {
					pay(rw, r, tx)
					return
				}
				crash = false
				require.NoError(t, effect(r, tx, "undone"))
				var killed bool
				require.NoError(t, w.admin.QueryRow(r.Context(), `SELECT pg_terminate_backend($1, 30000)`, tx.Conn().PgConn().PID()).Scan(&killed))
				require.True(t, killed)
				after(rw, r, tx)
			})
			got := w.post(url, "k", "10 EUR")
			require.GreaterOrEqual(t, got.status, 500)
			if name != "and the handler sees it" { // which answers 500 itself
				require.Equal(t, "unavailable", got.problem(t))
				require.Equal(t, "1", got.header.Get("Retry-After"))
			}
			require.Empty(t, w.effects())
			// The server has ended the session, so the key is free at once.
			require.Equal(t, http.StatusCreated, w.post(url, "k", "10 EUR").status)
			require.Equal(t, []string{"10 EUR"}, w.effects())
		})
	}
}

func commits(s pgproxy.Statement) bool { return strings.EqualFold(s.SQL, "commit") }

// ticks goes on for half a minute, and as long as it is asked for.
func ticks(t *testing.T) iter.Seq[int] {
	return func(yield func(int) bool) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		deadline := time.Now().Add(30 * time.Second)
		for n := 0; yield(n); n++ {
			if <-tick.C; time.Now().After(deadline) {
				t.Error("waited for half a minute")
				return
			}
		}
	}
}

// The server commits and its answer is lost: nobody can know, so the client is
// told to ask again, and then gets the answer that was kept.
func TestTheAnswerToCommitIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy := pgproxy.Start(t, testinbox.AsConsumer(t, w.url))
	pool := testinbox.Pool(t, proxy.URL())
	m, err := inboxhttp.New(w.config, pool)
	require.NoError(t, err)
	url := w.serveHandler(m.Handle(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		conn := tx.Conn().PgConn().Conn()
		proxy.After(commits, func() {
			for range ticks(t) { // until the commit can be seen; then nobody hears of it
				var kept int
				if err := w.admin.QueryRow(context.Background(), `SELECT count(*) FROM tandem.inbox_answer`).Scan(&kept); err != nil || kept > 0 {
					break
				}
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
		pay(rw, r, tx)
	}))
	lost := w.post(url, "k", "10 EUR")
	require.Equal(t, "unavailable", lost.problem(t))
	require.Equal(t, "1", lost.header.Get("Retry-After"))
	require.Contains(t, w.logs.String(), "commit: ")

	// Another process, by another way to the database.
	again := w.untilDone(w.serve(pay), "k", "10 EUR")
	require.True(t, again.replayed)
	require.JSONEq(t, `{"payment":1}`, again.body)
	require.Equal(t, []string{"10 EUR"}, w.effects())
}

// A client that goes away before the COMMIT has nothing done; it may ask again.
func TestAClientThatGoesAwayHasNothingDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	entered, returned := make(chan context.CancelFunc, 1), make(chan struct{}, 100)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	h := w.middleware().Handle(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		if r.Context().Value(http.ServerContextKey) == nil {
			t.Error("the request's own context is missing")
		}
		pay(rw, r, tx)
		select {
		case entered <- leave:
			<-r.Context().Done() // net/http has noticed
		default:
		}
	})
	url := w.serveHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(rw, r)
		returned <- struct{}{}
	}))
	go func() { (<-entered)() }()
	_, err := send(ctx, url, "k", "10 EUR")
	require.ErrorIs(t, err, context.Canceled)
	<-returned
	require.Empty(t, w.effects())
	require.Zero(t, w.kept())
	require.Contains(t, w.logs.String(), "went away")
	require.NotContains(t, w.logs.String(), "level=ERROR")

	entered <- leave // nobody reads it: the next one does not wait
	got := w.untilDone(url, "k", "10 EUR")
	require.Equal(t, http.StatusCreated, got.status)
	require.False(t, got.replayed)
	require.Equal(t, []string{"10 EUR"}, w.effects())
}

// From the COMMIT on a client's going away changes nothing.
func TestAClientThatGoesAwayDuringTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy := pgproxy.Start(t, testinbox.AsConsumer(t, w.url))
	m, err := inboxhttp.New(w.config, testinbox.Pool(t, proxy.URL()))
	require.NoError(t, err)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	gone := make(chan struct{})
	url := w.serveHandler(m.Handle(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		proxy.After(commits, func() {
			leave()
			<-r.Context().Done()
			close(gone)
		})
		pay(rw, r, tx)
	}))
	_, err = send(ctx, url, "k", "10 EUR")
	require.ErrorIs(t, err, context.Canceled)
	<-gone
	again := w.untilDone(w.serve(pay), "k", "10 EUR")
	require.True(t, again.replayed)
	require.Equal(t, []string{"10 EUR"}, w.effects())
	require.Empty(t, w.logs.String())
}

// Postgres ends the claim of a process that was frozen.
func TestAFrozenProcessGivesItsKeyBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.IdleTimeout = time.Second
	frozen := true
	url := w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		if !frozen {
			pay(rw, r, tx)
			return
		}
		frozen = false
		_ = effect(r, tx, "undone") // on a slow machine it is too late already
		for range ticks(t) {
			if testinbox.Count(t, w.admin, `SELECT count(*) FROM pg_stat_activity WHERE pid = $1`, tx.Conn().PgConn().PID()) == 0 {
				return
			}
		}
	})
	require.Equal(t, "unavailable", w.post(url, "k", "10 EUR").problem(t))
	w.config.IdleTimeout = time.Minute
	require.Equal(t, http.StatusCreated, w.untilDone(w.serve(pay), "k", "10 EUR").status)
	require.Equal(t, []string{"10 EUR"}, w.effects())
}
