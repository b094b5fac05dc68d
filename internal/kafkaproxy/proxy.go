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

	mu    sync.Mutex
	rules []*rule
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
)

// Start listens for clients until the test ends.
func Start(t testing.TB) *Proxy {
	t.Helper()
	p := &Proxy{}
	p.Start(t, p.serve)
	return p
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

func (p *Proxy) add(when moment, match func(Key) bool, do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &rule{when, match, do})
}

// take returns what is to be done about a request, by the moment.
func (p *Proxy) take(k Key) (do [answered + 1][]func()) {
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
	c := &connection{proxy: p, client: client, server: server, waiting: map[uint32][]func(){}}
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
}
