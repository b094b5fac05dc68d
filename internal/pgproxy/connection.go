//go:build unix

package pgproxy

import (
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Statement is one that a client asks the server to execute.
type Statement struct {
	SQL string
	// Parameters as they are on the wire, nil for NULL.
	Parameters [][]byte
}

// connection is one client's.
type connection struct {
	proxy          *Proxy
	client, server net.Conn

	// What the client has prepared, and bound, by name.
	prepared map[string]string
	portals  map[string]Statement
	// asked are the statements since the last request that the server answers.
	asked []Statement

	// answering is held while an answer is passed on, and while there shall be none.
	answering sync.Mutex
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
		if err != nil || !c.send(message) {
			return
		}
		if code := binary.BigEndian.Uint32(body); len(body) > 4 || code != codeSSL && code != codeGSSENC {
			break
		}
	}
	for {
		message, body, err := c.read(1)
		if err != nil {
			return
		}
		do := c.note(message[0], body)
		if len(do) > 0 {
			c.answering.Lock()
		}
		passed := c.send(message)
		for _, f := range do {
			f()
		}
		if len(do) > 0 {
			c.answering.Unlock()
		}
		if !passed {
			return
		}
	}
}

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
	if c.proxy.silent.Load() {
		return true
	}
	_, err := c.server.Write(message)
	return err == nil
}

// note follows the extended protocol. It returns what is to be done once the
// server has this message: with a Sync or a simple query it executes what it was
// asked to.
func (c *connection) note(kind byte, body []byte) (do []func()) {
	switch kind {
	case 'P':
		var m pgproto3.Parse
		if m.Decode(body) == nil {
			c.prepared[m.Name] = m.Query
		}
	case 'B':
		var m pgproto3.Bind
		if m.Decode(body) == nil {
			c.portals[m.DestinationPortal] = Statement{c.prepared[m.PreparedStatement], m.Parameters}
		}
	case 'E':
		var m pgproto3.Execute
		if m.Decode(body) == nil {
			c.asked = append(c.asked, c.portals[m.Portal])
		}
	case 'Q':
		var m pgproto3.Query
		if m.Decode(body) == nil {
			c.asked = append(c.asked, Statement{SQL: m.String})
		}
	}
	if kind != 'S' && kind != 'Q' {
		return nil
	}
	for _, s := range c.asked {
		if f := c.proxy.take(s); f != nil {
			do = append(do, f)
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
		if n > 0 && !c.proxy.silent.Load() {
			c.answering.Lock()
			_, failed := c.client.Write(chunk[:n])
			c.answering.Unlock()
			if failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
