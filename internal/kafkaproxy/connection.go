//go:build unix

package kafkaproxy

import (
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/tandem-outbox/tandem/internal/tcpproxy"
)

// connection is one client's with one broker.
type connection struct {
	proxy          *Proxy
	client, server net.Conn
	fronts         map[string]string // by broker

	// answering is held while an answer is passed on, and while there shall be none.
	answering sync.Mutex
	// waiting is what to do before an answer is passed on, by its correlation id.
	waiting map[uint32][]func()
	// losing is what to do when the answer with this correlation id is lost.
	losing map[uint32][]func()
	// asked are the requests whose answers tell addresses, by correlation id.
	asked map[uint32]form
}

// head is what requests begin with: key, version and correlation id. Answers
// begin with the correlation id.
const (
	keyBytes  = 2
	headBytes = 8
)

// passRequests passes on what the client asks, request by request.
func (c *connection) passRequests(r io.Reader) {
	for {
		message, body, err := read(r)
		if err != nil {
			return
		}
		if len(body) < headBytes {
			return // nothing that a broker would answer
		}
		asked := form{Key(binary.BigEndian.Uint16(body)), int16(binary.BigEndian.Uint16(body[keyBytes:]))}
		do := c.proxy.take(asked.key)
		for _, f := range do[before] {
			f()
		}
		if !c.pass(message, binary.BigEndian.Uint32(body[2*keyBytes:]), asked, do) {
			return
		}
	}
}

// pass sends a request, and does what is to be done then.
func (c *connection) pass(message []byte, id uint32, asked form, do actions) bool {
	told := c.fronts != nil && asked.tellsAddresses()
	if len(do[after])+len(do[answered])+len(do[lost]) == 0 && !told {
		return c.send(c.server, message)
	}
	c.answering.Lock()
	defer c.answering.Unlock()
	if told {
		c.asked[id] = asked
	}
	if len(do[lost]) > 0 {
		c.losing[id] = do[lost]
	}
	passed := c.send(c.server, message)
	for _, f := range do[after] {
		f()
	}
	if len(do[answered]) > 0 {
		c.waiting[id] = do[answered]
	}
	return passed
}

// passAnswers passes on what the broker answers.
func (c *connection) passAnswers() {
	for {
		message, body, err := read(c.server)
		if err != nil || len(body) < 4 {
			return
		}
		if !c.answer(message, binary.BigEndian.Uint32(body)) {
			return
		}
	}
}

func (c *connection) answer(message []byte, id uint32) bool {
	c.answering.Lock()
	defer c.answering.Unlock()
	for _, f := range c.waiting[id] {
		f()
	}
	delete(c.waiting, id)
	if c.losing[id] != nil {
		tcpproxy.Reset(c.client)
		return false
	}
	if asked, told := c.asked[id]; told {
		delete(c.asked, id)
		var err error
		if message, err = asked.rewrite(message, c.fronts); err != nil {
			c.proxy.t.Errorf("kafkaproxy: an answer of %s: %v", c.server.RemoteAddr(), err)
			return false
		}
	}
	return c.send(c.client, message)
}

func (c *connection) send(to net.Conn, message []byte) bool {
	if c.proxy.Silent() {
		return true
	}
	_, err := to.Write(message)
	return err == nil
}

// read returns one request or answer, and what follows its length.
func read(r io.Reader) (message, body []byte, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, nil, err
	}
	message = append(head, make([]byte, binary.BigEndian.Uint32(head))...)
	_, err = io.ReadFull(r, message[len(head):])
	return message, message[len(head):], err
}
