package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// links opens the connections to Kafka and remembers them: kafka-go neither waits
// for its goroutines nor interrupts requests that were given up. Each goroutine
// ends with its connection.
type links struct {
	newTLS func() (*tls.Config, error)

	mu     sync.Mutex
	closed bool
	open   map[*link]struct{}
	last   chan struct{} // closed when closed and none is open
}

const (
	dialTimeout = 10 * time.Second
	linksLimit  = 10 * time.Second
)

func newLinks(newTLS func() (*tls.Config, error)) *links {
	return &links{newTLS: newTLS, open: map[*link]struct{}{}, last: make(chan struct{})}
}

// dial also encrypts: kafka-go would, but with one configuration for ever.
func (l *links) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if conn, err = l.encrypt(ctx, conn, address); err != nil {
		return nil, err
	}
	opened := &link{Conn: conn, owner: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	l.open[opened] = struct{}{}
	return opened, nil
}

// encrypt closes the connection where it fails.
func (l *links) encrypt(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	config, err := l.newTLS()
	if err == nil && config == nil {
		return conn, nil
	}
	if err == nil && config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, err = net.SplitHostPort(address)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	encrypted := tls.Client(conn, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return encrypted, nil
}

// close cuts every connection, and waits for who used them.
func (l *links) close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	for c := range l.open {
		_ = c.Conn.Close()
	}
	if len(l.open) == 0 {
		close(l.last)
	}
	l.mu.Unlock()
	limit := time.NewTimer(linksLimit)
	defer limit.Stop()
	select {
	case <-l.last:
		return nil
	case <-limit.C:
		return errors.New("some connections to Kafka are still in use after they were cut")
	}
}

type link struct {
	net.Conn
	owner *links
}

// Close is the last thing that a user of the connection does.
func (c *link) Close() error {
	err := c.Conn.Close()
	l := c.owner
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, there := l.open[c]; there {
		delete(l.open, c)
		if l.closed && len(l.open) == 0 {
			close(l.last)
		}
	}
	return err
}
