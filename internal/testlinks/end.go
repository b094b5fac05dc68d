//go:build unix

package testlinks

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// waitingBytes is what an end takes before the connection has taken it.
const waitingBytes = 16 << 10

// end is where a link brings what it has, and the connection behind it. Other than
// a connection it never fails: Toxiproxy forgets to end a link whose writer
// failed. What nobody takes any more is thrown away.
type end struct {
	conn net.Conn
	held *atomic.Bool // a close vanishes

	mu      sync.Mutex
	changed sync.Cond
	waiting []byte
	lifted  bool // waiting may grow as it likes
	ended   bool // by the link
	broken  bool
}

func newEnd(conn net.Conn, held *atomic.Bool) *end {
	e := &end{conn: conn, held: held}
	e.changed.L = &e.mu
	return e
}

// Write waits while the connection does not keep up.
func (e *end) Write(chunk []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.waiting) >= waitingBytes && !e.lifted && !e.broken {
		e.changed.Wait()
	}
	if !e.broken {
		e.waiting = append(e.waiting, chunk...)
		e.changed.Broadcast()
	}
	return len(chunk), nil
}

// Close is the link's end. The connection is closed once it has taken the rest.
func (e *end) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	e.changed.Broadcast()
	return nil
}

func (e *end) lift(lifted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lifted = lifted
	e.changed.Broadcast()
}

// write brings to the connection what waits, until the link has ended.
func (e *end) write() {
	for {
		chunk, more := e.next()
		if !more {
			break
		}
		if _, err := e.conn.Write(chunk); err != nil {
			e.discard()
		}
	}
	if !e.held.Load() {
		e.conn.Close()
	}
}

func (e *end) next() (chunk []byte, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.waiting) == 0 && !e.ended {
		e.changed.Wait()
	}
	chunk, e.waiting = e.waiting, nil
	e.changed.Broadcast()
	return chunk, len(chunk) > 0
}

func (e *end) discard() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken, e.waiting = true, nil
	e.changed.Broadcast()
}

// source is what a link reads from. A reset goes on to the other side as one.
type source struct {
	net.Conn
	end *end
}

func (s *source) Read(chunk []byte) (int, error) {
	n, err := s.Conn.Read(chunk)
	if err != nil && !errors.Is(err, io.EOF) && !s.end.held.Load() {
		if tcp, ok := s.end.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // it fails where the connection is closed already
		}
	}
	return n, err
}
