// Package ids holds the rules for message ids that Go must share with the SQL
// function tandem.once: what is refused, and which table an id lives in.
package ids

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Greatest lengths, in bytes.
const (
	ConsumerMax = 255
	MessageMax  = 1000
)

// Problem says why s, a consumer's name or a message's id, cannot be stored;
// empty where it can.
func Problem(limit int, s string) string {
	switch {
	case len(s) == 0 || len(s) > limit:
		return fmt.Sprintf("it has %d bytes, allowed are 1 to %d", len(s), limit)
	case !utf8.ValidString(s):
		return "it is not valid UTF-8"
	case strings.ContainsRune(s, 0):
		return "it contains a zero byte, which Postgres cannot keep"
	}
	return ""
}

// Quoted quotes s for people, and cuts what is too long for a log line.
func Quoted(s string) string {
	if len(s) > 100 {
		return fmt.Sprintf("%q… (%d bytes)", s[:100], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// ID is a message id as it is stored.
type ID struct {
	Text  string // what two spellings of the same id have in common
	Timed bool   // a UUIDv7, which lives in tandem.inbox; others in tandem.inbox_foreign
}

// Parse normalises an id. Where an id lives follows from the id alone, never
// from the clock.
func Parse(s string) ID {
	if !isUUID(s) {
		return ID{Text: s}
	}
	s = strings.ToLower(s)
	return ID{Text: s, Timed: s[14] == '7' && strings.ContainsRune("89ab", rune(s[19]))}
}

// UUID returns the bytes of a Timed id.
func (id ID) UUID() (b [16]byte) {
	digits := make([]byte, 0, 2*len(b))
	for i, from := range []int{0, 9, 14, 19, 24} { // the groups
		digits = append(digits, id.Text[from:from+[]int{8, 4, 4, 4, 12}[i]]...)
	}
	_, _ = hex.Decode(b[:], digits) // isUUID has looked at them
	return b
}

// Made returns when a Timed id was made.
func (id ID) Made() time.Time {
	b := id.UUID()
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:]) >> 16)).UTC()
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return false
		}
	}
	return true
}
