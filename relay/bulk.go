package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// bulkConn is the connection to a server that, while bulk is on, is read in
// large pieces. PostgreSQL sends 8 kB at a time, and a reader who takes each as
// it comes costs a wake-up for each, on both sides: a third of the processor time
// of reading the log. So the socket is asked to tell of data only when there is a
// lot (SO_RCVLOWAT, see socket(7)); and because an answer's end may be less, who
// waits looks for himself after tailWait.
type bulkConn struct {
	net.Conn
	raw  syscall.RawConn
	bulk atomic.Bool

	mu       sync.Mutex
	deadline time.Time // the caller's, for reading
}

const (
	bulkBytes = 256 << 10
	tailWait  = 250 * time.Microsecond
)

// dialBulk is dial with connections that can be read so, where the system can.
func dialBulk(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if c, ok := conn.(*net.TCPConn); ok {
			if raw, err := c.SyscallConn(); err == nil {
				return &bulkConn{Conn: conn, raw: raw}, nil
			}
		}
		return conn, nil
	}
}

// readInBulk turns it on or off for what conn reads from now on.
func readInBulk(conn *pgx.Conn, on bool) {
	c := conn.PgConn().Conn()
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = inner.NetConn()
	}
	if b, ok := c.(*bulkConn); ok && b.bulk.Load() != on {
		b.setBulk(on)
	}
}

func (c *bulkConn) setBulk(on bool) {
	least := 1
	if on {
		least = bulkBytes
	}
	err := errors.ErrUnsupported
	if controlErr := c.raw.Control(func(fd uintptr) { err = setLowWater(fd, least) }); controlErr != nil {
		err = controlErr
	}
	c.bulk.Store(on && err == nil)
	if err == nil {
		c.wake()
	}
}

// wake lets whoever waits in Read look anew how to. There may be somebody though no
// answer is due: after a write that took long, or seemed to on a busy machine,
// pgconn has a goroutine that reads ahead, and it may have begun to wait for what
// comes next. Without bulk it would not look for itself, and a short answer would
// stay unread.
func (c *bulkConn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // Read sets the caller's again
}

// SetDeadline is part of net.Conn.
func (c *bulkConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline is part of net.Conn.
func (c *bulkConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}

// Read is part of net.Conn.
func (c *bulkConn) Read(b []byte) (int, error) {
	for {
		if !c.bulk.Load() || len(b) == 0 {
			n, err := c.Conn.Read(b)
			if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				return n, err
			}
			if err := c.limit(time.Time{}); err != nil {
				return 0, err // the caller's has passed
			}
			continue // it was wake
		}
		n, err := c.take(b)
		if !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
		if err := c.wait(); err != nil {
			return 0, err
		}
	}
}

// take reads what is there.
func (c *bulkConn) take(b []byte) (n int, err error) {
	if err := c.limit(time.Time{}); err != nil {
		return 0, err
	}
	rawErr := c.raw.Read(func(fd uintptr) bool {
		for {
			if n, err = readFD(fd, b); !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	})
	switch {
	case errors.Is(rawErr, os.ErrDeadlineExceeded):
		return 0, syscall.EAGAIN // wake's, or the caller's, which wait looks at
	case rawErr != nil:
		return 0, rawErr
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// wait returns when there is a lot, or after tailWait.
func (c *bulkConn) wait() error {
	if err := c.limit(time.Now().Add(tailWait)); err != nil {
		return err
	}
	asked := false
	err := c.raw.Read(func(uintptr) bool {
		again := asked
		asked = true
		return again
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // take looks at the caller's
	}
	return err
}

// limit sets a deadline of our own, if the caller's is not before it.
func (c *bulkConn) limit(own time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() {
		if !c.deadline.After(time.Now()) {
			return os.ErrDeadlineExceeded
		}
		if own.IsZero() || c.deadline.Before(own) {
			own = c.deadline
		}
	}
	return c.Conn.SetReadDeadline(own)
}
