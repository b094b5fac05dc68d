//go:build unix

package pgproxy

import "encoding/binary"

// answers follows what the server says, message by message, to know which
// requests it has done with.
type answers struct {
	// bare are bytes to come that are no message: an answer to a request for
	// encryption is one.
	bare int
	head []byte // of a message that has just begun: its type, its length
	rest int    // bytes of a message that are still to come
	// ready counts the ReadyForQuery messages.
	ready int64
}

const answerHead = 5 // bytes

func (a *answers) follow(chunk []byte) {
	for len(chunk) > 0 {
		switch {
		case a.bare > 0:
			a.bare--
			chunk = chunk[1:]
		case a.rest > 0:
			n := min(a.rest, len(chunk))
			a.rest -= n
			chunk = chunk[n:]
		default:
			n := min(answerHead-len(a.head), len(chunk))
			a.head = append(a.head, chunk[:n]...)
			chunk = chunk[n:]
			a.begin()
		}
	}
}

// begin is what a message begins with once all of it is here.
func (a *answers) begin() {
	if len(a.head) < answerHead {
		return
	}
	if a.head[0] == 'Z' {
		a.ready++
	}
	a.rest = max(0, int(binary.BigEndian.Uint32(a.head[1:]))-4) // counts itself
	a.head = a.head[:0]
}
