// Package kafkalinks opens connections to Kafka that can be ended: kafka-go's
// Transport neither waits for its goroutines nor interrupts a request that its
// caller has given up. Each goroutine ends with its connection, so closing those
// and waiting for them is waiting for the goroutines.
package kafkalinks

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// Dialer opens a client's connections and remembers them.
type Dialer struct {
	options Options
	net     net.Dialer

	mu     sync.Mutex
	closed bool
	open   map[*conn]struct{} // also those still being opened
	empty  chan struct{}      // closed when closed and none is open
}

// Options say how connections are made.
type Options struct {
	// Timeout is for opening a connection, and again for its handshake.
	Timeout time.Duration
	// TLS returns the configuration of the next connection, nil for one that is not
	// encrypted. The Transport could encrypt too, but with one and the same
	// configuration for ever.
	TLS func() (*tls.Config, error)
	// Silence is a limit for what the Transport does without one: it takes the
	// deadline away before it authenticates, and would wait for ever on a broker
	// that has vanished. Defaults to none.
	Silence time.Duration
}

// New returns a Dialer that has opened nothing yet.
func New(o Options) *Dialer {
	return &Dialer{options: o, net: net.Dialer{Timeout: o.Timeout}, open: map[*conn]struct{}{}, empty: make(chan struct{})}
}

// Dial is for [github.com/segmentio/kafka-go.Transport.Dial]. It fails after Close.
func (d *Dialer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
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

func (d *Dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	config, err := d.options.TLS()
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
	ctx, cancel := context.WithTimeout(ctx, d.options.Timeout)
	defer cancel()
	encrypted := tls.Client(opened, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		opened.Close()
		return nil, err
	}
	return encrypted, nil
}

func (d *Dialer) add(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.open[c] = struct{}{}
	return true
}

// remove forgets c. The caller holds d.mu.
func (d *Dialer) remove(c *conn) {
	if _, there := d.open[c]; !there {
		return
	}
	delete(d.open, c)
	if d.closed && len(d.open) == 0 {
		close(d.empty)
	}
}

// Close cuts every connection, and waits at most until limit has passed for the
// Transport to let go of them.
func (d *Dialer) Close(limit time.Duration) error {
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
		return fmt.Errorf("some connections to the brokers are still in use %v after they were cut", limit)
	}
}

// conn is a connection that the dialer knows.
type conn struct {
	net.Conn
	dialer *Dialer
}

// Close is called by the Transport's goroutine as the last thing it does.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.dialer.mu.Lock()
	defer c.dialer.mu.Unlock()
	c.dialer.remove(c)
	return err
}

// SetDeadline sets t, or where t is none the one of Options.Silence. An idle
// connection is not read, so that a deadline that passes meanwhile hurts nobody;
// each request sets its own.
func (c *conn) SetDeadline(t time.Time) error {
	if silence := c.dialer.options.Silence; t.IsZero() && silence > 0 {
		t = time.Now().Add(silence)
	}
	return c.Conn.SetDeadline(t)
}
