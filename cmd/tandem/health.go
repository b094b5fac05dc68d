package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tandem-outbox/tandem/relay"
)

// serveHealth answers for the relay over HTTP until stop is called, which waits
// for the last answer.
//
//	/healthz  200 while the process works at all
//	/readyz   200 while it relays or stands by, and says which; else 503
//	/statusz  what it knows of itself, as JSON; so does /readyz?verbose
//	/metrics  for Prometheus
func serveHealth(ctx context.Context, address string, r observed, metrics http.Handler, log *slog.Logger) (stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve health: %w; give --http-addr another address, or leave it out", err)
	}
	server := &http.Server{
		Handler:           healthHandler(ctx, r, metrics),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	log.Info("serving health", "address", listener.Addr().String())
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("health is served no longer", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-served
	}, nil
}

func healthHandler(ctx context.Context, r observed, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, request *http.Request) {
		ready, text := readiness(ctx, r)
		code := http.StatusServiceUnavailable
		if ready {
			code = http.StatusOK
		}
		if request.URL.Query().Has("verbose") {
			answerDetail(w, code, detailOf(r, ready))
			return
		}
		answer(w, code, text)
	})
	mux.HandleFunc("GET /statusz", func(w http.ResponseWriter, _ *http.Request) {
		ready, _ := readiness(ctx, r)
		answerDetail(w, http.StatusOK, detailOf(r, ready))
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}

func readiness(ctx context.Context, r observed) (ready bool, text string) {
	switch state := r.State(); {
	case ctx.Err() != nil:
		return false, "stopping"
	case state == relay.Relaying:
		return true, "relaying"
	case state == relay.Standby:
		return true, "standby: another relay holds the lease"
	default:
		return false, state.String()
	}
}

func answer(w http.ResponseWriter, code int, text string) {
	head(w, code, "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text+"\n")
}

func head(w http.ResponseWriter, code int, kind string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
}
