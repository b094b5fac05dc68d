package faultyconn

import (
	"context"
	"errors"
	"net"
	"sync"
)

// How a connection fails at a message.
type How int

const (
	// Lost lets nothing of the message arrive.
	Lost How = iota
	// Cut lets half of it arrive.
	Cut
)

func (h How) String() string { return [...]string{"lost", "cut"}[h] }

// ErrBroken is what a write into a connection returns at which it fails. A read
// there finds the end of the stream, as if the other side had closed it.
var ErrBroken = errors.New("the connection is broken, as the test wants it")

// Line is all connections of one client, or to one server, of which one fails, once.
// Its methods may be called from any goroutine.
type Line struct {
	protocol Protocol

	mu     sync.Mutex
	passed int // messages since Break, in both directions and of all connections
	at     int
	how    How
	watch  func(sent bool, message []byte)
}

// New returns a line on which nothing fails yet.
func New(p Protocol) *Line { return &Line{protocol: p} }

// Break lets the connection fail that has the message of that number, counted from
// 1 and from now; 0 is none. The connections that there will be later are whole.
func (l *Line) Break(at int, how How) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed, l.at, l.how = 0, at, how
}

// Watch calls f for each message of any connection when it begins, before it passes:
// sent is one from this side, and of message there is as much as is at hand. Calls do
// not overlap.
func (l *Line) Watch(f func(sent bool, message []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = f
}

// Broken tells whether there was such a message.
func (l *Line) Broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at > 0 && l.passed >= l.at
}

// Each calls try with a line that breaks at message 1, at 1+step and so on, in both
// ways, until a try ends without having come so far. It returns how many tries were
// disturbed.
func (l *Line) Each(step int, try func(at int, how How)) (disturbed int) {
	return l.EachFrom(1, step, try)
}

// EachFrom is Each from another message on, for tests that share the work.
func (l *Line) EachFrom(first, step int, try func(at int, how How)) (disturbed int) {
	defer l.Break(0, Lost)
	for at := first; ; at += step {
		for _, how := range []How{Lost, Cut} {
			l.Break(at, how)
			try(at, how)
			if !l.Broken() {
				return disturbed
			}
			disturbed++
		}
	}
}

// begins counts a message, and tells whether it is the one.
func (l *Line) begins(sent bool, message []byte) (how How, breaks bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed++
	if l.watch != nil {
		l.watch(sent, message)
	}
	return l.how, l.passed == l.at
}

// Dial is for clients: [github.com/jackc/pgx/v5/pgconn.Config.DialFunc], for one.
func (l *Line) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return l.Through((&net.Dialer{}).DialContext)(ctx, network, address)
}

// Through is Dial with another way of dialling.
func (l *Line) Through(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return l.wrap(c), nil
	}
}

// Listen is for servers in this process: kfake.ListenFn, for one.
func (l *Line) Listen(network, address string) (net.Listener, error) {
	inner, err := net.Listen(network, address)
	return &listener{inner, l}, err
}

type listener struct {
	net.Listener
	line *Line
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.line.wrap(c), nil
}
