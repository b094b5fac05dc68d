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
func serveHealth(ctx context.Context, address string, r *relay.Relay, log *slog.Logger) (stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve health: %w; give --http-addr another address, or leave it out", err)
	}
	server := &http.Server{
		Handler:           healthHandler(ctx, r),
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

func healthHandler(ctx context.Context, r *relay.Relay) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch state := r.State(); {
		case ctx.Err() != nil:
			answer(w, http.StatusServiceUnavailable, "stopping")
		case state == relay.Relaying:
			answer(w, http.StatusOK, "relaying")
		case state == relay.Standby:
			answer(w, http.StatusOK, "standby: another relay holds the lease")
		default:
			answer(w, http.StatusServiceUnavailable, state.String())
		}
	})
	return mux
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n")
}
