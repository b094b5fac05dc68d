//go:build unix

package testlinks

import (
	"context"
	"net"
	"net/url"
	"testing"

	"github.com/tandem-outbox/tandem/internal/pgproxy"
)

// Postgres is the network between a process and a database.
type Postgres struct {
	Faults
	proxy *pgproxy.Proxy
	url   string
}

// NewPostgres leads to the database with this URL, until the test ends. The server
// may come and go. It must allow connections that are not encrypted.
func NewPostgres(t testing.TB, database string) *Postgres {
	t.Helper()
	proxy := pgproxy.Start(t, database)
	first := newFront(t, dialer(proxy.Address()))
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal("testlinks: the database's URL cannot be parsed")
	}
	u.Host = first.server.Address()
	return &Postgres{Faults{[]*front{first}}, proxy, u.String()}
}

// URL is the database's for the process.
func (p *Postgres) URL() string { return p.url }

// LoseReply lets the server do the next statement that matches, loses the answer,
// and resets that one connection; the channel is closed when that has happened. An
// answer to the same request, or to an earlier one that is still on its way, is
// lost with it. Where the connection ends before the server has answered, the
// channel is closed too.
func (p *Postgres) LoseReply(match func(pgproxy.Statement) bool) <-chan struct{} {
	return p.proxy.LoseReply(match)
}

// LoseRequest keeps the next statement that matches from the server, and resets every
// connection; the channel is closed when that has happened.
func (p *Postgres) LoseRequest(match func(pgproxy.Statement) bool) <-chan struct{} {
	happened := make(chan struct{})
	p.proxy.Before(match, func() {
		p.proxy.Reset()
		close(happened)
	})
	return happened
}

// Withdraw takes back what LoseReply and LoseRequest were told and no statement has met. Those
// channels stay open.
func (p *Postgres) Withdraw() { p.proxy.Withdraw() }

// dialer connects with what stands behind a front.
func dialer(address string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
}
