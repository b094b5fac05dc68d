package inboxhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// world is a service whose database has Tandem's schema and a table of effects,
// used with a consumer's rights.
type world struct {
	*testing.T
	admin  *pgxpool.Pool // a superuser's
	pool   *pgxpool.Pool // the service's
	url    string        // the superuser's
	logs   *logs
	config inboxhttp.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := testservers.Migrated(t)
	w := &world{T: t, url: url, admin: testinbox.Pool(t, url), logs: &logs{}}
	w.pool = testinbox.Pool(t, testinbox.AsConsumer(t, url))
	testinbox.Effects(t, w.admin)
	w.config = inboxhttp.Config{
		Consumer:     "payments",
		Scope:        func(r *http.Request) (string, error) { return r.Header.Get("X-Client"), nil },
		BeginTimeout: time.Minute,
		LockTimeout:  time.Minute,
		IdleTimeout:  time.Minute,
		Logger:       slog.New(slog.NewTextHandler(w.logs, nil)),
	}
	return w
}

func (w *world) middleware() *inboxhttp.Middleware {
	w.Helper()
	m, err := inboxhttp.New(w.config, w.pool)
	require.NoError(w, err)
	return m
}

type handler = func(http.ResponseWriter, *http.Request, pgx.Tx)

// serve starts a server of one endpoint for every path.
func (w *world) serve(handle handler) string {
	w.Helper()
	return w.serveHandler(w.middleware().Handle(handle))
}

func (w *world) serveHandler(h http.Handler) string {
	w.Helper()
	server := httptest.NewServer(h)
	w.Cleanup(server.Close)
	return server.URL
}

// effect adds a row of that name.
func effect(r *http.Request, tx pgx.Tx, name string) error {
	_, err := tx.Exec(r.Context(), `INSERT INTO app.effects (name) VALUES ($1)`, name)
	return err
}

// pay is a handler with one effect, whose answer tells one run from another.
func pay(w http.ResponseWriter, r *http.Request, tx pgx.Tx) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = effect(r, tx, string(body))
	}
	var n string
	if err == nil {
		err = tx.QueryRow(r.Context(), `SELECT max(n)::text FROM app.effects`).Scan(&n)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", "/payments/"+n)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"payment":`+n+`}`)
}

// effects are the names of all that was committed, in order.
func (w *world) effects() []string {
	w.Helper()
	return testinbox.Strings(w, w.admin, `SELECT coalesce(array_agg(name ORDER BY n), '{}') FROM app.effects`)
}

// kept is the number of answers.
func (w *world) kept() int {
	w.Helper()
	return testinbox.Count(w, w.admin, `SELECT count(*) FROM tandem.inbox_answer`)
}

// reply is what a client got.
type reply struct {
	status   int
	header   http.Header
	body     string
	replayed bool
}

// problem is the last part of a problem's type.
func (r reply) problem(t testing.TB) string {
	t.Helper()
	require.Equal(t, "application/problem+json", r.header.Get("Content-Type"), "%d %s", r.status, r.body)
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &p))
	require.Equal(t, r.status, p.Status)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Detail)
	_, kind, _ := strings.Cut(p.Type, "?problem=")
	kind, _, _ = strings.Cut(kind, "#")
	return kind
}

// post sends a request with a key, of one client; edits may change it.
func (w *world) post(url, key, body string, edits ...func(*http.Request)) reply {
	w.Helper()
	got, err := send(w.Context(), url, key, body, edits...)
	require.NoError(w, err)
	return got
}

func send(ctx context.Context, url, key, body string, edits ...func(*http.Request)) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("X-Client", "alice")
	r.Header.Set("Content-Type", "text/plain")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	for _, edit := range edits {
		edit(r)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(raw), resp.Header.Get("Idempotent-Replayed") == "true"}, err
}

// untilDone repeats a request, as a client does, while it is told to.
func (w *world) untilDone(url, key, body string) reply {
	w.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		got := w.post(url, key, body)
		if got.status != http.StatusConflict && got.status != http.StatusServiceUnavailable {
			return got
		}
		require.Equal(w, "1", got.header.Get("Retry-After"))
		require.True(w, time.Now().Before(deadline), "still %d: %s", got.status, got.body)
		<-tick.C
	}
}

// logs is what was logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
