package faultyconn

import (
	"encoding/binary"
	"iter"
)

// Protocol says where a message ends and the next one begins.
type Protocol int

const (
	// Postgres is PostgreSQL's, of clients that do not encrypt: each message has a
	// byte for its kind and a length, but for a client's first, which has no kind.
	Postgres Protocol = iota
	// Kafka is Kafka's: each message is behind its length.
	Kafka
)

// kind is how many bytes stand before a message's length.
func (p Protocol) kind() int {
	if p == Postgres {
		return 1
	}
	return 0
}

// messages follows one direction of a connection.
type messages struct {
	kind    int
	untyped bool   // the next message has no kind
	header  []byte // of a message whose header is not complete yet
	left    int    // of a message's body
}

// in yields the messages that begin in b, each with where it begins and where it
// ends there.
func (m *messages) in(b []byte) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for i := 0; i < len(b); {
			begin, begins := i, m.left == 0 && len(m.header) == 0
			i += m.take(b[i:])
			if begins && !yield(begin, i) {
				return
			}
		}
	}
}

// take goes on to the end of the message, or of b.
func (m *messages) take(b []byte) (n int) {
	if m.left == 0 {
		need := m.kind + 4
		if m.untyped {
			need = 4
		}
		n = min(need-len(m.header), len(b))
		m.header = append(m.header, b[:n]...)
		if len(m.header) < need {
			return n
		}
		m.left = int(binary.BigEndian.Uint32(m.header[need-4:]))
		if m.kind > 0 {
			m.left -= 4 // Postgres counts the length itself
		}
		m.header, m.untyped = nil, false
	}
	body := min(m.left, len(b)-n)
	m.left -= body
	return n + body
}
