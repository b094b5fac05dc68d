package servers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
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

// Fate is what becomes of a request.
type Fate int

// A lost answer hurts more: the service has done its work, and the client does not know.
const (
	Arrives Fate = iota
	RequestLost
	AnswerLost
)

// Wire is the way from a client to a service. It is fine unless told otherwise.
type Wire struct {
	mu   sync.Mutex
	next []Fate
}

// Next says what becomes of the next requests, in turn.
func (w *Wire) Next(fates ...Fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = append(w.next, fates...)
}

func (w *Wire) fate() Fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.next) == 0 {
		return Arrives
	}
	fate := w.next[0]
	w.next = w.next[1:]
	return fate
}

// To is a service at the end of the wire.
func (w *Wire) To(service http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		switch w.fate() {
		case RequestLost:
			panic(http.ErrAbortHandler) // net/http closes the connection
		case AnswerLost:
			service.ServeHTTP(&nowhere{header: http.Header{}}, r)
			panic(http.ErrAbortHandler)
		default:
			service.ServeHTTP(answer, r)
		}
	})
}

// nowhere is where an answer goes that nobody gets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(int)             {}
