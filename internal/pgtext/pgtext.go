// Package pgtext makes texts from outside, a broker's words or a panic's, fit to be
// kept in a text or jsonb of Postgres's: what is said about an event must not keep
// the event from being dealt with.
package pgtext

import (
	"strings"
	"unicode/utf8"
)

// Repaired is s with U+FFFD for each zero byte and each run of bytes that are not
// UTF-8, cut to about limit bytes, which an ellipsis shows.
func Repaired(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, string(utf8.RuneError)), "\x00", string(utf8.RuneError))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
