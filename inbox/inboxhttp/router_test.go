package inboxhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/outbox"
)

// A whole mux in the middleware: patterns, values in paths, and methods that are
// none of its business.
func TestAroundTheStandardMux(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /accounts/{id}/payments", func(rw http.ResponseWriter, r *http.Request) {
		tx, ok := inboxhttp.Tx(r.Context())
		require.True(t, ok)
		require.NoError(t, effect(r, tx, r.PathValue("id")))
		rw.WriteHeader(http.StatusNoContent)
		_, err := io.WriteString(rw, "x")
		require.ErrorIs(t, err, http.ErrBodyNotAllowed)
	})
	mux.HandleFunc("GET /accounts/{id}/payments", func(rw http.ResponseWriter, r *http.Request) {
		_, ok := inboxhttp.Tx(r.Context())
		require.False(t, ok)
		require.NoError(t, http.NewResponseController(rw).Flush()) // it is not buffered
		_, _ = io.WriteString(rw, "list")
	})
	url := w.serveHandler(w.middleware().Wrap(mux))
	for _, replayed := range []bool{false, true} {
		got := w.post(url+"/accounts/7/payments", "k", "")
		require.Equal(t, http.StatusNoContent, got.status)
		require.Equal(t, replayed, got.replayed)
	}
	require.Equal(t, []string{"7"}, w.effects())
	list := w.post(url+"/accounts/7/payments", "", "", func(r *http.Request) { r.Method = http.MethodGet })
	require.Equal(t, "list", list.body)
	require.Equal(t, http.StatusNotFound, w.post(url+"/nothing", "l", "").status)
	require.True(t, w.post(url+"/nothing", "l", "").replayed)
}

// Routers other than the standard one call http.Handlers too, and put middlewares
// around them.
func TestInsideAnyRouter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.middleware()
	type paramKey struct{}
	routes := map[string]http.Handler{"payments": m.Wrap(m.Handle(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		require.ErrorIs(t, http.NewResponseController(rw).Flush(), errors.ErrUnsupported)
		rw.Header().Add("Vary", "Accept")
		rw.Header().Set("X-Frame-Options", "SAMEORIGIN")
		rw.WriteHeader(http.StatusEarlyHints)
		require.NoError(t, effect(r, tx, r.Context().Value(paramKey{}).(string)))
	}))}
	url := w.serveHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-Request-Id", r.Header.Get("X-Request-Id"))
		rw.Header().Add("Vary", "Origin")
		rw.Header().Set("X-Frame-Options", "DENY")
		parts := strings.Split(r.URL.Path, "/")
		routes[parts[1]].ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), paramKey{}, parts[2])))
	}))
	for _, id := range []string{"1", "2"} {
		got := w.post(url+"/payments/9", "k", "", func(r *http.Request) { r.Header.Set("X-Request-Id", id) })
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, id, got.header.Get("X-Request-Id"), "of this attempt")
		require.Equal(t, []string{"Origin", "Accept"}, got.header.Values("Vary"))
		require.Equal(t, "SAMEORIGIN", got.header.Get("X-Frame-Options"))
	}
	require.Equal(t, []string{"9"}, w.effects())

	put := w.post(url+"/payments/9", "l", "", func(r *http.Request) { r.Method = http.MethodPut })
	require.Equal(t, http.StatusMethodNotAllowed, put.status)
	require.Equal(t, "method", put.problem(t))
	require.Equal(t, "POST, PATCH", put.header.Get("Allow"))
}

// An event of the handler is committed with effects and answer, once.
func TestEventsOfTheHandler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Not by membership, which would hold for other tests' databases too.
	_, err := w.admin.Exec(t.Context(), `GRANT INSERT ON tandem.log TO tandem_consumer; GRANT USAGE ON SEQUENCE tandem.log_position TO tandem_consumer`)
	require.NoError(t, err)
	url := w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		require.NoError(t, outbox.Add(r.Context(), tx, outbox.Event{Topic: "payments", Payload: []byte("paid")}))
		if r.URL.Path == "/refuse" {
			rw.WriteHeader(http.StatusPaymentRequired)
		}
	})
	for range 2 {
		require.Equal(t, http.StatusOK, w.post(url, "k", "").status)
		require.Equal(t, http.StatusPaymentRequired, w.post(url+"/refuse", "l", "").status)
	}
	require.Equal(t, 1, testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.log`))
}
