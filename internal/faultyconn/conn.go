package faultyconn

import (
	"io"
	"net"
	"sync/atomic"
)

// conn is one connection of a line. Reads follow one another, and so do writes.
type conn struct {
	net.Conn
	line      *Line
	out, in   messages
	endOfRead atomic.Bool
}

func (l *Line) wrap(c net.Conn) net.Conn {
	kind := l.protocol.kind()
	return &conn{Conn: c, line: l, out: messages{kind: kind, untyped: kind > 0}, in: messages{kind: kind}}
}

// pass returns how much of b passes before the connection fails, if it does.
func (c *conn) pass(m *messages, b []byte) (n int, breaks bool) {
	for begin, end := range m.in(b) {
		if how, now := c.line.begins(m == &c.out, b[begin:end]); now {
			if how == Cut {
				begin += (end - begin + 1) / 2
			}
			return begin, true
		}
	}
	return len(b), false
}

func (c *conn) Write(b []byte) (int, error) {
	n, breaks := c.pass(&c.out, b)
	written, err := c.Conn.Write(b[:n])
	if breaks && err == nil {
		_ = c.Close()
		err = ErrBroken
	}
	return written, err
}

func (c *conn) Read(b []byte) (int, error) {
	if c.endOfRead.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b)
	n, breaks := c.pass(&c.in, b[:n])
	if !breaks {
		return n, err
	}
	c.endOfRead.Store(true)
	_ = c.Close()
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
