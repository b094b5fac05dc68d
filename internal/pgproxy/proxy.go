//go:build unix

package pgproxy

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tandem-outbox/tandem/internal/tcpproxy"
)

// Proxy listens on a port of 127.0.0.1. Its methods may be called from any
// goroutine.
type Proxy struct {
	tcpproxy.Server
	database *url.URL
	// connections counts those that there were.
	connections atomic.Int64

	mu    sync.Mutex
	rules []*rule
}

// rule is something to be done once.
type rule struct {
	when  moment
	match func(Statement) bool
	do    func()
}

// moment is one on the way of a statement to the server and of its answer back.
type moment int

const (
	before moment = iota
	after
	answered
	lost
)

// Start listens for clients of the database with this URL until the test ends.
func Start(t testing.TB, database string) *Proxy {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal("pgproxy: the database's URL cannot be parsed")
	}
	p := &Proxy{database: u}
	p.Start(t, p.serve)
	return p
}

// URL is the database's through the proxy.
func (p *Proxy) URL() string {
	u := *p.database
	u.Host = p.Address()
	return u.String()
}

// After calls do, once, when the server has got a statement that matches and
// before its client gets any answer to it. do may wait; the client of that
// connection then waits too.
func (p *Proxy) After(match func(Statement) bool, do func()) { p.add(after, match, do) }

// Before is [Proxy.After] for the moment when the server has nothing of the request
// that the statement is part of. [Proxy.Swallow] in do keeps it from the server.
func (p *Proxy) Before(match func(Statement) bool, do func()) { p.add(before, match, do) }

// Answered is [Proxy.After] for the moment when the server has done the
// statement and its answer is here. [Proxy.Swallow] in do keeps it from the
// client.
func (p *Proxy) Answered(match func(Statement) bool, do func()) { p.add(answered, match, do) }

// LoseReply lets the server do the next statement that matches, loses the answer to
// the request that it is part of, and to what was asked before and is not answered
// yet, and resets that one connection. The channel is closed then; also when the
// connection ended before the server had answered.
func (p *Proxy) LoseReply(match func(Statement) bool) <-chan struct{} {
	happened := make(chan struct{})
	p.add(lost, match, func() { close(happened) })
	return happened
}

// Withdraw takes the rules back that no statement has met.
func (p *Proxy) Withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

func (p *Proxy) add(when moment, match func(Statement) bool, do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{when, match, do})
}

// Containing matches statements with this text in them.
func Containing(text string) func(Statement) bool {
	return func(s Statement) bool { return strings.Contains(s.SQL, text) }
}

// serve passes on what the two sides of one connection say, until one ends.
func (p *Proxy) serve(client net.Conn) {
	dialer := net.Dialer{Control: likeANetwork}
	server, err := dialer.DialContext(context.Background(), "tcp", p.database.Host)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.Keep(server) {
		return
	}
	defer p.Remove(server)
	if client.(*net.TCPConn).SetWriteBuffer(buffer) != nil {
		return
	}
	c := &connection{proxy: p, number: p.connections.Add(1), client: client, server: server, prepared: map[string]string{}, portals: map[string]Statement{}}
	var answers sync.WaitGroup
	answers.Go(func() {
		c.passAnswers()
		client.Close()
		server.Close()
	})
	c.passRequests()
	client.Close()
	server.Close()
	answers.Wait()
	for _, f := range c.losing {
		f()
	}
}

// take returns what is to be done about a statement, and when; nil if nothing is.
func (p *Proxy) take(s Statement) *rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range p.rules {
		if r.match(s) {
			p.rules = append(p.rules[:i:i], p.rules[i+1:]...)
			return r
		}
	}
	return nil
}
