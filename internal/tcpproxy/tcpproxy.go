// Package tcpproxy is what the proxies for tests have in common: a port of
// 127.0.0.1, the connections that are open through it, and the silence that it can
// fall into. What passes is the business of pgproxy and kafkaproxy.
package tcpproxy

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Server accepts clients until the test ends. Its methods may be called from any
// goroutine.
type Server struct {
	listener net.Listener
	silent   atomic.Bool
	working  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
}

// Start lets serve have every connection of a client, which is closed when serve
// returns. At the end of the test every connection that was kept is closed, and
// serve is waited for.
func (s *Server) Start(t testing.TB, serve func(client net.Conn)) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("tcpproxy: %v", err)
	}
	s.listener, s.open = listener, map[net.Conn]struct{}{}
	s.working.Go(func() { s.accept(serve) })
	t.Cleanup(s.close)
}

// Address is where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Swallow lets nothing through any more, in either direction, and closes
// nothing: what comes is accepted and lost.
func (s *Server) Swallow() { s.silent.Store(true) }

// Silent tells whether Swallow was called.
func (s *Server) Silent() bool { return s.silent.Load() }

func (s *Server) accept(serve func(net.Conn)) {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.working.Go(func() {
			defer client.Close()
			if s.Keep(client) {
				defer s.Remove(client)
				serve(client)
			}
		})
	}
}

// Keep notes a connection, to be closed at the end of the test; false means that
// this is the end.
func (s *Server) Keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.open[c] = struct{}{}
	}
	return !s.closed
}

// Remove forgets a connection that was kept.
func (s *Server) Remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *Server) close() {
	s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.working.Wait()
}
