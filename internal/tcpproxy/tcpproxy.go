//go:build unix

// Package tcpproxy is what the proxies for tests have in common: a port of
// 127.0.0.1, the connections that are open through it, the silence that it can
// fall into, and its refusal. What passes is the business of pgproxy, kafkaproxy
// and testlinks.
package tcpproxy

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Server accepts clients until the test ends. Its methods may be called from any
// goroutine.
type Server struct {
	port    *port
	serve   func(client net.Conn)
	silent  atomic.Bool
	working sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	listener net.Listener // nil while clients are refused
	open     map[net.Conn]struct{}
}

// Start lets serve have every connection of a client, which is closed when serve
// returns. At the end of the test every connection that was kept is closed, and
// serve is waited for.
func (s *Server) Start(t testing.TB, serve func(client net.Conn)) {
	t.Helper()
	taken, err := takePort()
	if err != nil {
		t.Fatalf("tcpproxy: take a port of 127.0.0.1: %v", err)
	}
	s.port, s.serve, s.open = taken, serve, map[net.Conn]struct{}{}
	t.Cleanup(s.close)
	if err := s.Accept(); err != nil {
		t.Fatal(err)
	}
}

// Address is where it listens.
func (s *Server) Address() string { return s.port.address }

// Swallow lets nothing through any more, in either direction, and closes
// nothing: what comes is accepted and lost.
func (s *Server) Swallow() { s.silent.Store(true) }

// Silent tells whether Swallow was called.
func (s *Server) Silent() bool { return s.silent.Load() }

// Refuse refuses clients, and resets every connection that was kept.
func (s *Server) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.listener.Close()
		s.listener = nil
	}
	s.reset()
}

// Accept ends what Refuse began.
func (s *Server) Accept() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil || s.closed {
		return nil
	}
	listener, err := net.Listen("tcp", s.port.address)
	if err != nil {
		return fmt.Errorf("tcpproxy: listen at the port that was kept: %w", err)
	}
	s.listener = listener
	s.working.Go(func() { s.accept(listener) })
	return nil
}

// Reset resets every connection that was kept; new ones are welcome.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset()
}

func (s *Server) reset() {
	for c := range s.open {
		Reset(c)
	}
}

// Reset closes a TCP connection so that the other side gets an error, not an end.
func Reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it fails where the connection is closed already
	}
	c.Close()
}

func (s *Server) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed
		}
		s.working.Go(func() {
			defer client.Close()
			if s.Keep(client) {
				defer s.Remove(client)
				s.serve(client)
			}
		})
	}
}

// Keep notes a connection, to be closed at the end of the test; false means that
// this is the end, or that clients are refused.
func (s *Server) Keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	welcome := !s.closed && s.listener != nil
	if welcome {
		s.open[c] = struct{}{}
	}
	return welcome
}

// Remove forgets a connection that was kept.
func (s *Server) Remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *Server) close() {
	s.mu.Lock()
	s.closed = true
	if s.listener != nil {
		s.listener.Close()
	}
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.working.Wait()
	s.port.giveBack()
}
