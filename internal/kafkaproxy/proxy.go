//go:build unix

package kafkaproxy

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/tandem-outbox/tandem/internal/tcpproxy"
)

// Key is the API key of a request.
type Key int16

// The keys that tests ask for.
const (
	Produce      Key = 0
	Fetch        Key = 1
	OffsetCommit Key = 8
	OffsetFetch  Key = 9
	JoinGroup    Key = 11
	Heartbeat    Key = 12
	LeaveGroup   Key = 13
	SyncGroup    Key = 14
)

// Proxy listens on a port of 127.0.0.1. Its methods may be called from any
// goroutine.
type Proxy struct {
	tcpproxy.Server
	t testing.TB

	mu     sync.Mutex
	rules  []*rule
	fronts map[string]string // nil: addresses stay as they are
}

// rule is something to be done once.
type rule struct {
	when  moment
	match func(Key) bool
	do    func()
}

// moment is one on the way of a request to the broker and of its answer back.
type moment int

const (
	before moment = iota
	after
	answered
	lost
)

// actions are what is to be done about a request, by the moment.
type actions [lost + 1][]func()

// Start listens for clients until the test ends.
func Start(t testing.TB) *Proxy {
	t.Helper()
	p := &Proxy{t: t}
	p.Start(t, p.serve)
	return p
}

// Rewrite is for clients that cannot dial through [Dial]: where an answer tells a
// broker's address ("host:port", as brokers advertise it), the client learns what
// fronts gives for it instead, so that it comes back through the test's hands. An
// address that is not in fronts fails the test.
func (p *Proxy) Rewrite(fronts map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fronts = fronts
}

// Dial returns what connects a client, of any process, with brokers through the
// proxy at an address.
func Dial(proxy string) func(ctx context.Context, network, broker string) (net.Conn, error) {
	return func(ctx context.Context, network, broker string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, proxy)
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write([]byte(broker + "\n")); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// Before calls do, once, before a request that matches goes to its broker. The
// client of that connection waits for do. [Proxy.Swallow] in do keeps the request
// from the broker.
func (p *Proxy) Before(match func(Key) bool, do func()) { p.add(before, match, do) }

// After is [Proxy.Before] for the moment when the broker has the request and
// before its client gets any answer to it.
func (p *Proxy) After(match func(Key) bool, do func()) { p.add(after, match, do) }

// Answered is [Proxy.Before] for the moment when the broker's answer is here.
// [Proxy.Swallow] in do keeps it from the client.
func (p *Proxy) Answered(match func(Key) bool, do func()) { p.add(answered, match, do) }

// LoseReply lets the broker carry out the next request with this key, loses the
// answer and resets that one connection. The channel is closed then; also when the
// connection ended before the broker had answered (to a Produce without acks it
// never does).
func (p *Proxy) LoseReply(key Key) <-chan struct{} {
	happened := make(chan struct{})
	p.add(lost, func(k Key) bool { return k == key }, func() { close(happened) })
	return happened
}

// Withdraw takes the rules back that no request has met.
func (p *Proxy) Withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

func (p *Proxy) add(when moment, match func(Key) bool, do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{when, match, do})
}

// take returns what is to be done about a request, by the moment.
func (p *Proxy) take(k Key) (do actions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.rules[:0]
	for _, r := range p.rules {
		if r.match(k) {
			do[r.when] = append(do[r.when], r.do)
		} else {
			kept = append(kept, r)
		}
	}
	p.rules = kept
	return do
}

// serve passes on what the two sides of one connection say, until one ends.
func (p *Proxy) serve(client net.Conn) {
	requests := bufio.NewReader(client)
	broker, err := requests.ReadString('\n')
	if err != nil {
		return
	}
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", strings.TrimSpace(broker))
	if err != nil {
		return
	}
	defer server.Close()
	if !p.Keep(server) {
		return
	}
	defer p.Remove(server)
	p.mu.Lock()
	fronts := p.fronts
	p.mu.Unlock()
	c := &connection{proxy: p, fronts: fronts, client: client, server: server, waiting: map[uint32][]func(){}, losing: map[uint32][]func(){}, asked: map[uint32]form{}}
	var answers sync.WaitGroup
	answers.Go(func() {
		c.passAnswers()
		client.Close()
		server.Close()
	})
	c.passRequests(requests)
	client.Close()
	server.Close()
	answers.Wait()
	for _, todo := range c.losing {
		for _, f := range todo {
			f()
		}
	}
}
