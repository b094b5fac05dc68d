package inboxhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox/inboxhttp"
)

// An endpoint whose payment is made once, and the list beside it, which is not
// the middleware's business.
func ExampleMiddleware_Handle() {
	routes := func(pool *pgxpool.Pool) (http.Handler, error) {
		once, err := inboxhttp.New(inboxhttp.Config{Consumer: "payments", Scope: inboxhttp.OneClient}, pool)
		if err != nil {
			return nil, err
		}
		mux := http.NewServeMux()
		mux.Handle("POST /payments", once.Handle(func(w http.ResponseWriter, r *http.Request, tx pgx.Tx) {
			if _, err := tx.Exec(r.Context(), `INSERT INTO payments (cents) VALUES (100)`); err != nil {
				http.Error(w, "not now", http.StatusInternalServerError)
				return
			}
			w.WriteHeader(http.StatusCreated)
		}))
		mux.HandleFunc("GET /payments", func(http.ResponseWriter, *http.Request) { /* … */ })
		return mux, nil
	}
	_ = routes
}

// A whole router in the middleware; its handlers find the transaction.
func ExampleMiddleware_Wrap() {
	pay := func(w http.ResponseWriter, r *http.Request) {
		tx, ok := inboxhttp.Tx(r.Context())
		if !ok {
			http.Error(w, "a payment is a POST", http.StatusMethodNotAllowed)
			return
		}
		if _, err := tx.Exec(r.Context(), `INSERT INTO payments (cents) VALUES (100)`); err != nil {
			http.Error(w, "not now", http.StatusInternalServerError)
		}
	}
	routes := func(once *inboxhttp.Middleware) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/payments", pay)
		return once.Wrap(mux)
	}
	_ = routes
}

// What a client is told that sent no key. It costs the database nothing.
func ExampleMiddleware() {
	// A pool that connects when it is first needed.
	pool, err := pgxpool.New(context.Background(), "postgres://shop@localhost/shop")
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	once, err := inboxhttp.New(inboxhttp.Config{Consumer: "payments", Scope: inboxhttp.OneClient}, pool)
	if err != nil {
		panic(err)
	}
	handler := once.Handle(func(http.ResponseWriter, *http.Request, pgx.Tx) {})

	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/payments", nil))
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	// Output: 400 application/problem+json
}

// Everything that is wrong is named at once.
func ExampleConfigError() {
	_, err := inboxhttp.New(inboxhttp.Config{Consumer: "payments", MaxBody: -1}, nil)
	var wrong *inboxhttp.ConfigError
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Field)
	}
	fmt.Println(err)
	// Output:
	// Scope
	// inboxhttp: Config.Scope is not set: return who the client is, or set OneClient where there is only one
	// inboxhttp: Config.MaxBody is -1, it must be from 1 to 268435456 bytes
}
