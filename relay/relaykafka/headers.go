package relaykafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// appendHeaders appends the headers of a JSON object of strings in a record's
// form and returns how many there are, in the order in which the object has
// them, repetitions included. It accepts what encoding/json accepts of such an
// object; bytes that are not UTF-8 are passed on as they are.
func appendHeaders(dst, object []byte) ([]byte, int, error) {
	rest := skipSpace(object)
	if len(rest) == 0 || rest[0] != '{' {
		return dst, 0, errors.New("the headers are no JSON object")
	}
	rest = skipSpace(rest[1:])
	if len(rest) > 0 && rest[0] == '}' {
		return dst, 0, trailing(rest[1:])
	}
	for count := 1; ; count++ {
		var err error
		if dst, rest, err = appendHeader(dst, rest); err != nil {
			return dst, 0, fmt.Errorf("header %d: %w", count, err)
		}
		switch rest = skipSpace(rest); {
		case len(rest) > 0 && rest[0] == ',':
			rest = skipSpace(rest[1:])
		case len(rest) > 0 && rest[0] == '}':
			return dst, count, trailing(rest[1:])
		default:
			return dst, 0, fmt.Errorf("the headers end or go wrong after header %d: a comma or a closing brace is missing", count)
		}
	}
}

// appendHeader appends the name and the value at the start of rest.
func appendHeader(dst, rest []byte) (_, after []byte, err error) {
	if dst, rest, err = appendText(dst, rest); err != nil {
		return dst, rest, fmt.Errorf("its name %w", err)
	}
	if rest = skipSpace(rest); len(rest) == 0 || rest[0] != ':' {
		return dst, rest, errors.New("a colon is missing after its name")
	}
	if dst, rest, err = appendText(dst, skipSpace(rest[1:])); err != nil {
		return dst, rest, fmt.Errorf("its value %w", err)
	}
	return dst, rest, nil
}

var (
	errNoString     = errors.New("is no JSON string")
	errUnterminated = errors.New("is a JSON string without an end")
	errControl      = errors.New("has a control character that is not escaped")
	errEscape       = errors.New("has an escape that JSON does not know")
)

// appendText appends the JSON string at the start of rest, behind its length.
func appendText(dst, rest []byte) (_, after []byte, err error) {
	if len(rest) == 0 || rest[0] != '"' {
		return dst, rest, errNoString
	}
	rest = rest[1:]
	n := plainLen(rest)
	if n < len(rest) && rest[n] == '"' {
		dst = appendVarint(dst, int64(n))
		return append(dst, rest[:n]...), rest[n+1:], nil
	}
	start := len(dst)
	if dst, rest, err = appendUnescaped(dst, rest); err != nil {
		return dst, rest, err
	}
	return insertVarint(dst, start, int64(len(dst)-start)), rest, nil
}

// insertVarint puts n before what dst has from at on.
func insertVarint(dst []byte, at int, n int64) []byte {
	var space [10]byte
	number := appendVarint(space[:0], n)
	dst = append(dst, number...)
	copy(dst[at+len(number):], dst[at:])
	copy(dst[at:], number)
	return dst
}

// appendUnescaped appends what rest holds up to its closing quote.
func appendUnescaped(dst, rest []byte) (_, after []byte, err error) {
	for {
		n := plainLen(rest)
		dst = append(dst, rest[:n]...)
		rest = rest[n:]
		switch {
		case len(rest) == 0:
			return dst, rest, errUnterminated
		case rest[0] == '"':
			return dst, rest[1:], nil
		case rest[0] != '\\':
			return dst, rest, errControl
		case len(rest) == 1:
			return dst, rest, errUnterminated
		}
		if rest[1] == 'u' {
			if dst, rest, err = appendUnicodeEscape(dst, rest); err != nil {
				return dst, rest, err
			}
			continue
		}
		c := unescaped[rest[1]]
		if c == 0 {
			return dst, rest, errEscape
		}
		dst, rest = append(dst, c), rest[2:]
	}
}

// unescaped maps the character after a backslash to what both mean.
var unescaped = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// appendUnicodeEscape appends the character of the \uXXXX at the start of rest,
// of two of them where they are a surrogate pair. A lone surrogate becomes
// U+FFFD, as in encoding/json.
func appendUnicodeEscape(dst, rest []byte) (_, after []byte, err error) {
	r := unicodeEscape(rest)
	if r < 0 {
		return dst, rest, errEscape
	}
	rest = rest[6:]
	if utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, unicodeEscape(rest)); pair != utf8.RuneError {
			r, rest = pair, rest[6:]
		}
	}
	return utf8.AppendRune(dst, r), rest, nil
}

// unicodeEscape returns the number of the \uXXXX at the start of s, -1 where
// there is none.
func unicodeEscape(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// plainLen returns how many bytes at the start of s stand for themselves in a
// JSON string: up to a quote, a backslash or a control character. It looks at
// eight bytes at a time.
func plainLen(s []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := binary.LittleEndian.Uint64(s[i:])
		quote, backslash := w^(ones*'"'), w^(ones*'\\')
		found := ((quote-ones)&^quote | (backslash-ones)&^backslash | (w-ones*0x20)&^w) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
	}
	return i
}

func skipSpace(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t' || s[0] == '\n' || s[0] == '\r') {
		s = s[1:]
	}
	return s
}

// trailing refuses anything but space behind the object.
func trailing(rest []byte) error {
	if len(skipSpace(rest)) != 0 {
		return errors.New("something stands behind the headers' closing brace")
	}
	return nil
}
