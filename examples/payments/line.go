package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// What happens to the next COMMIT.
const (
	nothing      int32 = iota
	beforeCommit       // it does not reach the database
	afterCommit        // it does, and the answer does not come back
)

var errCut = errors.New("the line was cut")

// line is the way from the service to its database. It makes the failures that a
// service cannot tell apart: after both, COMMIT returns an error.
type line struct{ cut atomic.Int32 }

func (l *line) connected(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
	return &cable{Conn: conn, line: l}, nil
}

// cable is one connection.
type cable struct {
	net.Conn

	line *line
	last atomic.Bool // it is cut when the next answer has come
}

func (c *cable) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("commit\x00")) {
		switch c.line.cut.Swap(nothing) {
		case beforeCommit:
			c.Close()
			return 0, errCut
		case afterCommit:
			c.last.Store(true)
		}
	}
	return c.Conn.Write(b)
}

func (c *cable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.last.Load() {
		c.Close()
		return 0, errCut
	}
	return n, err
}
