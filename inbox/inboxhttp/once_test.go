package inboxhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

func TestARepetitionGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		rw.Header().Add("Set-Cookie", "a=1")
		rw.Header().Add("Set-Cookie", "b=2")
		rw.Header().Set("X-Latin", "caf\xe9")
		rw.Header().Set("X-Empty", "")
		pay(rw, r, tx)
		rw.Header().Set("X-Late", "not sent")
		rw.WriteHeader(http.StatusTeapot) // counts once
	})
	first := w.post(url, `"k-1"`, "10 EUR")
	require.Equal(t, http.StatusCreated, first.status)
	require.False(t, first.replayed)
	require.JSONEq(t, `{"payment":1}`, first.body)
	require.Equal(t, []string{"a=1", "b=2"}, first.header.Values("Set-Cookie"))
	require.Equal(t, "caf\xe9", first.header.Get("X-Latin"))
	require.Empty(t, first.header.Get("X-Late"))
	for _, key := range []string{`"k-1"`, "k-1"} {
		again := w.post(url, key, "10 EUR")
		require.True(t, again.replayed)
		again.header.Del("Idempotent-Replayed")
		again.header.Set("Date", first.header.Get("Date"))
		require.Equal(t, first.header, again.header)
		require.Equal(t, first.status, again.status)
		require.Equal(t, first.body, again.body)
	}
	require.Equal(t, []string{"10 EUR"}, w.effects())
	require.Empty(t, w.logs.String())
}

// However many come at once, one has the effect, and nobody is left waiting.
func TestRequestsOfOneKeyAtOnceHaveOneEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := w.serve(pay)
	var clients sync.WaitGroup
	replies := make([]reply, 50)
	for i := range replies {
		clients.Go(func() {
			var err error
			if replies[i], err = send(t.Context(), url, "k", "10 EUR"); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	fresh := 0
	for _, got := range replies {
		switch got.status {
		case http.StatusCreated:
			require.JSONEq(t, `{"payment":1}`, got.body)
			if !got.replayed {
				fresh++
			}
		default:
			require.Equal(t, http.StatusConflict, got.status, got.body)
			require.Equal(t, "in-progress", got.problem(t))
			require.Equal(t, "1", got.header.Get("Retry-After"))
		}
	}
	require.Equal(t, 1, fresh)
	require.Equal(t, []string{"10 EUR"}, w.effects())
	require.True(t, w.post(url, "k", "10 EUR").replayed)
}

// While one works, its key is refused at once, also to another request, and
// other keys, clients and consumers go on.
func TestARequestInProgressIsToldAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	entered, release := make(chan struct{}), make(chan struct{})
	hold := func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		if r.Header.Get("X-Hold") != "" {
			close(entered)
			<-release
		}
		pay(rw, r, tx)
	}
	url := w.serve(hold)
	w.config.Consumer = "refunds"
	other := w.serve(hold)
	first := make(chan reply, 1)
	go func() {
		got, err := send(t.Context(), url, "k", "10 EUR", func(r *http.Request) { r.Header.Set("X-Hold", "1") })
		if err != nil {
			t.Error(err)
		}
		first <- got
	}()
	<-entered
	require.Equal(t, "in-progress", w.post(url, "k", "10 EUR").problem(t))
	require.Equal(t, http.StatusConflict, w.post(url, "k", "20 EUR").status)
	require.Equal(t, http.StatusCreated, w.post(url, "l", "other key").status)
	require.Equal(t, http.StatusCreated, w.post(url, "k", "other client", as("bob")).status)
	require.Equal(t, http.StatusCreated, w.post(other, "k", "other consumer").status)
	close(release)
	require.Equal(t, http.StatusCreated, (<-first).status)
	require.Equal(t, []string{"other key", "other client", "other consumer", "10 EUR"}, w.effects())
}

func as(client string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("X-Client", client) }
}

func TestAKeyIsForOneRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.middleware()
	mux := http.NewServeMux() // cuts the path: it counts as it was asked for
	mux.Handle("/a/", http.StripPrefix("/a", m.Handle(pay)))
	mux.Handle("/b/", http.StripPrefix("/b", m.Handle(pay)))
	url := w.serveHandler(mux)
	require.Equal(t, http.StatusCreated, w.post(url+"/a/x?q=1", "k", "10 EUR").status)
	for name, c := range map[string]struct {
		target, body string
		edit         func(*http.Request)
	}{
		"body":          {"/a/x?q=1", "20 EUR", nil},
		"path":          {"/a/y?q=1", "10 EUR", nil},
		"mount":         {"/b/x?q=1", "10 EUR", nil},
		"query":         {"/a/x?q=2", "10 EUR", nil},
		"no query":      {"/a/x", "10 EUR", nil},
		"method":        {"/a/x?q=1", "10 EUR", func(r *http.Request) { r.Method = http.MethodPatch }},
		"content type":  {"/a/x?q=1", "10 EUR", func(r *http.Request) { r.Header.Set("Content-Type", "text/html") }},
		"one run over":  {"/a/x?q=", "110 EUR", nil},
		"and no escape": {"/a/%78?q=1", "10 EUR", nil},
	} {
		edit := c.edit
		if edit == nil {
			edit = func(*http.Request) {}
		}
		got := w.post(url+c.target, "k", c.body, edit)
		if name == "and no escape" { // %78 is x
			require.Equal(t, http.StatusUnprocessableEntity, got.status, name)
			continue
		}
		require.Equal(t, http.StatusUnprocessableEntity, got.status, name)
		require.Equal(t, "key-reused", got.problem(t), name)
	}
	require.True(t, w.post(url+"/a/x?q=1", "k", "10 EUR").replayed)
	require.Equal(t, []string{"10 EUR"}, w.effects())
}

// What one client has done is never told to another, nor kept from it.
func TestAKeyIsOfOneClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := w.serve(pay)
	require.JSONEq(t, `{"payment":1}`, w.post(url, "k", "10 EUR").body)
	bob := w.post(url, "k", "10 EUR", as("bob"))
	require.JSONEq(t, `{"payment":2}`, bob.body)
	require.False(t, bob.replayed)
	// What belongs to client and key does not run together.
	require.JSONEq(t, `{"payment":3}`, w.post(url, "b", "10 EUR", as("a")).body)
	require.JSONEq(t, `{"payment":4}`, w.post(url, "ab", "10 EUR", as("a")).body)
	require.Equal(t, 4, w.kept())

	nobody := w.post(url, "k", "10 EUR", as(""))
	require.Equal(t, http.StatusInternalServerError, nobody.status)
	require.Equal(t, "internal", nobody.problem(t))
	require.Contains(t, w.logs.String(), "Config.Scope")
}

func TestAnExpiredAnswerIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := w.serve(pay)
	require.JSONEq(t, `{"payment":1}`, w.post(url, "k", "10 EUR").body)
	_, err := w.admin.Exec(t.Context(), `UPDATE tandem.inbox_answer SET expires_at = clock_timestamp()`)
	require.NoError(t, err)
	again := w.post(url, "k", "20 EUR")
	require.JSONEq(t, `{"payment":2}`, again.body)
	require.False(t, again.replayed)
	require.True(t, w.post(url, "k", "20 EUR").replayed)
	require.Equal(t, 1, w.kept())
	var kept float64
	require.NoError(t, w.admin.QueryRow(t.Context(), `SELECT extract(epoch FROM expires_at - stored_at) FROM tandem.inbox_answer`).Scan(&kept))
	require.InDelta(t, 24*3600, kept, 60)

	require.Zero(t, testinbox.Count(t, w.pool, `SELECT tandem.expire_inbox()`))
	_, err = w.admin.Exec(t.Context(), `UPDATE tandem.inbox_answer SET expires_at = now() - interval '1 second'`)
	require.NoError(t, err)
	require.Equal(t, 1, testinbox.Count(t, w.pool, `SELECT tandem.expire_inbox()`))
	require.Zero(t, w.kept())
}

func TestTheKeyIsRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := w.serve(pay)
	missing := w.post(url, "", "10 EUR")
	require.Equal(t, http.StatusBadRequest, missing.status)
	require.Equal(t, "key-missing", missing.problem(t))
	malformed := w.post(url, `"k`, "10 EUR")
	require.Equal(t, http.StatusBadRequest, malformed.status)
	require.Equal(t, "key-malformed", malformed.problem(t))
	twice := w.post(url, "k", "10 EUR", func(r *http.Request) { r.Header.Add("Idempotency-Key", "k") })
	require.Equal(t, "key-malformed", twice.problem(t))
	require.Empty(t, w.effects())

	w.config.OptionalKey = true
	url = w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		pay(rw, r, tx)
		if r.Header.Get("X-Panic") != "" {
			panic("no")
		}
	})
	for range 2 {
		require.Equal(t, http.StatusCreated, w.post(url, "", "10 EUR").status)
	}
	undone := w.post(url, "", "10 EUR", func(r *http.Request) { r.Header.Set("X-Panic", "1") })
	require.Equal(t, http.StatusInternalServerError, undone.status)
	require.Equal(t, []string{"10 EUR", "10 EUR"}, w.effects())
	require.Zero(t, w.kept())
	require.Equal(t, "key-malformed", w.post(url, `"k`, "10 EUR").problem(t))
}

func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.MaxBody, w.config.MaxAnswer = 1000, 2000
	url := w.serve(func(rw http.ResponseWriter, r *http.Request, tx pgx.Tx) {
		if err := effect(r, tx, r.URL.Path); err != nil {
			panic(err)
		}
		switch r.URL.Path {
		case "/body":
			for range 3 {
				_, _ = io.WriteString(rw, strings.Repeat("x", 700))
			}
		case "/headers":
			rw.Header().Set("X-Long", strings.Repeat("x", 2000))
		case "/fits":
			_, _ = io.WriteString(rw, strings.Repeat("x", 1990))
		}
	})
	for name, edit := range map[string]func(*http.Request){
		"told":    func(*http.Request) {},
		"chunked": func(r *http.Request) { r.ContentLength = -1 },
	} {
		got := w.post(url+"/fits", name, strings.Repeat("x", 1001), edit)
		require.Equal(t, http.StatusRequestEntityTooLarge, got.status, name)
		require.Equal(t, "body-too-large", got.problem(t), name)
		require.Equal(t, http.StatusOK, w.post(url+"/fits", name, strings.Repeat("x", 1000), edit).status, name)
	}
	require.Equal(t, []string{"/fits", "/fits"}, w.effects())
	for i, path := range []string{"/body", "/headers"} {
		got := w.post(url+path, fmt.Sprint(i), "")
		require.Equal(t, http.StatusInternalServerError, got.status, path)
		require.Equal(t, "internal", got.problem(t))
		require.Equal(t, i+1, strings.Count(w.logs.String(), "Config.MaxAnswer"))
	}
	require.Equal(t, []string{"/fits", "/fits"}, w.effects())
	require.Equal(t, 2, w.kept())
}
