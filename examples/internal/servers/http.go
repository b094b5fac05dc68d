package servers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Serve serves HTTP on a port of its own until the story ends, and returns its URL.
func (s *Servers) Serve(ctx context.Context, handler http.Handler) (url string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.Go(ctx, "HTTP server", func(ctx context.Context) error {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		closed := context.AfterFunc(ctx, func() { server.Close() })
		defer closed()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return "http://" + listener.Addr().String(), nil
}

// Wire is the way from a client to a service. It can be cut where it hurts most:
// when the service has done its work, and before the client has the answer.
type Wire struct{ cuts atomic.Int32 }

// CutAnswers cuts the next n answers off.
func (w *Wire) CutAnswers(n int) { w.cuts.Store(int32(n)) }

// To is a service at the end of the wire.
func (w *Wire) To(service http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		if w.cuts.Add(-1) < 0 {
			service.ServeHTTP(answer, r)
			return
		}
		service.ServeHTTP(&nowhere{header: http.Header{}}, r)
		panic(http.ErrAbortHandler) // net/http closes the connection
	})
}

// nowhere is where an answer goes that nobody gets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(int)             {}
