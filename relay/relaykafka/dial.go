package relaykafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// dialer opens the Transport's connections and remembers them, because the
// Transport neither waits for its goroutines nor interrupts a request that its
// caller has given up: each goroutine ends with its connection, so closing those
// and waiting for them is waiting for the goroutines.
type dialer struct {
	net   net.Dialer
	limit time.Duration // for what the Transport does without a limit: SASL
	tls   func() (*tls.Config, error)

	mu     sync.Mutex
	closed bool
	open   map[*conn]struct{} // also those still being opened
	empty  chan struct{}      // closed when closed and none is open
}

func newDialer(timeout time.Duration, tls func() (*tls.Config, error)) *dialer {
	return &dialer{net: net.Dialer{Timeout: timeout}, limit: timeout, tls: tls, open: map[*conn]struct{}{}, empty: make(chan struct{})}
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c := &conn{dialer: d}
	if !d.add(c) {
		return nil, net.ErrClosed
	}
	opened, err := d.connect(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.closed {
		opened.Close()
		err = net.ErrClosed
	}
	if err != nil {
		d.remove(c)
		return nil, err
	}
	c.Conn = opened
	return c, nil
}

// connect also encrypts, which the Transport could do too, but with one and the
// same configuration for ever.
func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	config, err := d.tls()
	if err != nil {
		return nil, err
	}
	opened, err := d.net.DialContext(ctx, network, address)
	if err != nil || config == nil {
		return opened, err
	}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			opened.Close()
			return nil, err
		}
		config = config.Clone()
		config.ServerName = host
	}
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	encrypted := tls.Client(opened, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		opened.Close()
		return nil, err
	}
	return encrypted, nil
}

func (d *dialer) add(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.open[c] = struct{}{}
	return true
}

// remove forgets c. The caller holds d.mu.
func (d *dialer) remove(c *conn) {
	if _, there := d.open[c]; !there {
		return
	}
	delete(d.open, c)
	if d.closed && len(d.open) == 0 {
		close(d.empty)
	}
}

// close cuts every connection, and waits at most until limit has passed for the
// Transport to let go of them.
func (d *dialer) close(limit time.Duration) error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		for c := range d.open {
			if c.Conn != nil {
				c.Conn.Close()
			}
		}
		if len(d.open) == 0 {
			close(d.empty)
		}
	}
	d.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-d.empty:
		return nil
	case <-timer.C:
		return fmt.Errorf("relaykafka: some connections to the brokers are still in use %v after they were cut", limit)
	}
}

// conn is a connection that the dialer knows.
type conn struct {
	net.Conn
	dialer *dialer
}

// Close is called by the Transport's goroutine as the last thing it does.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.dialer.mu.Lock()
	defer c.dialer.mu.Unlock()
	c.dialer.remove(c)
	return err
}

// SetDeadline sets t, or where t is none the dialer's own limit: the Transport
// takes the deadline away before it authenticates, and would wait for ever on a
// broker that has vanished. An idle connection is not read, so that a deadline
// that passes meanwhile hurts nobody; each request sets its own.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(c.dialer.limit)
	}
	return c.Conn.SetDeadline(t)
}
