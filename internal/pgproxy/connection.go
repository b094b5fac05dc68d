//go:build unix

package pgproxy

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tandem-outbox/tandem/internal/tcpproxy"
)

// Statement is one that a client asks the server to execute.
type Statement struct {
	SQL string
	// Parameters as they are on the wire, nil for NULL.
	Parameters [][]byte
	// Connection numbers the connections that the proxy has had, from 1.
	Connection int64
}

// connection is one client's.
type connection struct {
	proxy          *Proxy
	number         int64
	client, server net.Conn

	// What the client has prepared, and bound, by name.
	prepared map[string]string
	portals  map[string]Statement
	// asked are the statements since the last request that the server answers.
	asked []Statement

	// answering is held while an answer is passed on, and while there shall be none.
	answering sync.Mutex
	// answered is what to do before the next answer is passed on.
	answered []func()
	answers  answers
	// requests counts those that end with a ReadyForQuery of the server's; the
	// start of the session is the first.
	requests int64
	// losing is what to do when the answer to the request of this number is
	// complete: until then none is passed on, and no other afterwards.
	losing   []func()
	lostWith int64
}

// The codes of requests that come before, or instead of, a session.
const (
	codeSSL    = 80877103
	codeGSSENC = 80877104
)

// passRequests passes on what the client says, message by message.
func (c *connection) passRequests() {
	for { // the start, which has no type
		message, body, err := c.read(0)
		if err != nil || len(body) < 4 {
			return
		}
		code := binary.BigEndian.Uint32(body)
		more := len(body) == 4 && (code == codeSSL || code == codeGSSENC)
		if more {
			c.answering.Lock()
			c.answers.bare++
			c.answering.Unlock()
		}
		if !c.send(message) {
			return
		}
		if !more {
			break // a session, or somebody who cancels: the server then closes
		}
	}
	c.requests = 1
	// What comes before a Sync goes together with it, or not at all: to a server
	// that waits for the rest of a request a client is not idle.
	var request []byte
	for {
		message, body, err := c.read(1)
		if err != nil {
			return
		}
		if endsWithReady(message[0]) {
			c.requests++
		}
		do := c.note(message[0], body)
		if request = append(request, message...); partOfMore(message[0]) {
			continue
		}
		for _, f := range do[before] {
			f()
		}
		if !c.pass(request, do) {
			return
		}
		request = nil
	}
}

// partOfMore tells the messages that the server does not answer before a Sync or a
// Flush: Parse, Bind, Describe, Execute, Close.
func partOfMore(kind byte) bool { return strings.IndexByte("PBDEC", kind) >= 0 }

// endsWithReady tells the messages whose answer ends with a ReadyForQuery: Sync,
// Query, FunctionCall.
func endsWithReady(kind byte) bool { return strings.IndexByte("SQF", kind) >= 0 }

// pass sends what comes to be done with it, and does what is to be done then.
func (c *connection) pass(message []byte, do actions) bool {
	if len(do[after])+len(do[answered])+len(do[lost]) == 0 {
		return c.send(message)
	}
	c.answering.Lock()
	defer c.answering.Unlock()
	if len(do[lost]) > 0 {
		c.losing, c.lostWith = append(c.losing, do[lost]...), c.requests
	}
	passed := c.send(message)
	for _, f := range do[after] {
		f()
	}
	c.answered = append(c.answered, do[answered]...)
	return passed
}

// actions are what is to be done about a request, by the moment.
type actions [lost + 1][]func()

// read returns one message of the client's, and what follows its type (of so
// many bytes) and its length.
func (c *connection) read(kind int) (message, body []byte, err error) {
	head := make([]byte, kind+4)
	if _, err := io.ReadFull(c.client, head); err != nil {
		return nil, nil, err
	}
	length := int(binary.BigEndian.Uint32(head[kind:])) // counts itself
	message = append(head, make([]byte, max(0, length-4))...)
	_, err = io.ReadFull(c.client, message[len(head):])
	return message, message[len(head):], err
}

func (c *connection) send(message []byte) bool {
	if c.proxy.Silent() {
		return true
	}
	_, err := c.server.Write(message)
	return err == nil
}

// note follows the extended protocol. It returns what is to be done once the
// server has this message: with a Sync or a simple query it executes what it was
// asked to.
func (c *connection) note(kind byte, body []byte) (do actions) {
	switch kind {
	case 'P':
		var m pgproto3.Parse
		if m.Decode(body) == nil {
			c.prepared[m.Name] = m.Query
		}
	case 'B':
		var m pgproto3.Bind
		if m.Decode(body) == nil {
			c.portals[m.DestinationPortal] = Statement{c.prepared[m.PreparedStatement], m.Parameters, c.number}
		}
	case 'E':
		var m pgproto3.Execute
		if m.Decode(body) == nil {
			c.asked = append(c.asked, c.portals[m.Portal])
		}
	case 'Q':
		var m pgproto3.Query
		if m.Decode(body) == nil {
			c.asked = append(c.asked, Statement{SQL: m.String, Connection: c.number})
		}
	}
	if kind != 'S' && kind != 'Q' {
		return do
	}
	for _, s := range c.asked {
		if r := c.proxy.take(s); r != nil {
			do[r.when] = append(do[r.when], r.do)
		}
	}
	c.asked = nil
	return do
}

// passAnswers passes on what the server says, as it comes.
func (c *connection) passAnswers() {
	chunk := make([]byte, buffer)
	for {
		n, err := c.server.Read(chunk)
		if n > 0 && !c.proxy.Silent() {
			if !c.answer(chunk[:n]) {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *connection) answer(chunk []byte) bool {
	c.answering.Lock()
	defer c.answering.Unlock()
	c.answers.follow(chunk)
	if c.losing != nil {
		if c.answers.ready < c.lostWith {
			return true
		}
		tcpproxy.Reset(c.client)
		return false
	}
	for _, f := range c.answered {
		f()
	}
	c.answered = nil
	if c.proxy.Silent() {
		return true
	}
	_, err := c.client.Write(chunk)
	return err == nil
}
