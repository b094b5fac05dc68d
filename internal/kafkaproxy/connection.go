package kafkaproxy

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// connection is one client's with one broker.
type connection struct {
	proxy          *Proxy
	client, server net.Conn

	// answering is held while an answer is passed on, and while there shall be none.
	answering sync.Mutex
	// waiting is what to do before an answer is passed on, by its correlation id.
	waiting map[uint32][]func()
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
		do := c.proxy.take(Key(binary.BigEndian.Uint16(body)))
		for _, f := range do[before] {
			f()
		}
		if !c.pass(message, binary.BigEndian.Uint32(body[2*keyBytes:]), do[after], do[answered]) {
			return
		}
	}
}

// pass sends a request, and does what is to be done then.
func (c *connection) pass(message []byte, id uint32, then, later []func()) bool {
	if len(then)+len(later) == 0 {
		return c.send(c.server, message)
	}
	c.answering.Lock()
	defer c.answering.Unlock()
	passed := c.send(c.server, message)
	for _, f := range then {
		f()
	}
	c.waiting[id] = later
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
