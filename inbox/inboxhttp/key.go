package inboxhttp

import (
	"fmt"
	"strings"
)

// keyHeader is the header's name.
const keyHeader = "Idempotency-Key"

// keyMax is the greatest length of a key, in characters, which are bytes.
const keyMax = 255

// parseKey returns the key in the header's lines, or why there is none to be had.
// No line at all is an empty key and no problem.
func parseKey(lines []string) (key, problem string) {
	if len(lines) == 0 {
		return "", ""
	}
	if len(lines) > 1 {
		return "", fmt.Sprintf("it is there %d times: send it once", len(lines))
	}
	field := strings.Trim(lines[0], " \t")
	if strings.HasPrefix(field, `"`) {
		key, problem = parseString(field)
	} else {
		key, problem = field, bareProblem(field)
	}
	switch {
	case problem != "":
		return "", problem
	case key == "":
		return "", "it is empty"
	case len(key) > keyMax:
		return "", fmt.Sprintf("it has %d characters, allowed are 1 to %d", len(key), keyMax)
	}
	return key, ""
}

// parseString reads a string of RFC 9651, section 4.2.5, that is all of the
// field. The draft defines no parameters, so there are none.
func parseString(field string) (key, problem string) {
	var b strings.Builder
	for i := 1; i < len(field); i++ {
		switch c := field[i]; {
		case c == '"':
			if i+1 < len(field) {
				return "", "something follows the closing quote: send one string, without parameters"
			}
			return b.String(), ""
		case c == '\\':
			i++
			if i == len(field) || field[i] != '"' && field[i] != '\\' {
				return "", `a backslash may only stand before " and \`
			}
			b.WriteByte(field[i])
		case c < ' ' || c > '~':
			return "", "it has a character that is not printable ASCII"
		default:
			b.WriteByte(c)
		}
	}
	return "", "the closing quote is missing"
}

// bareProblem says what keeps a key without quotes from being read in one way
// only: what would be a list, a parameter or half a string in quotes.
func bareProblem(field string) string {
	for i := range len(field) {
		switch c := field[i]; {
		case c <= ' ' || c > '~':
			return "it has a character that is not printable ASCII, or a space outside of quotes"
		case strings.IndexByte(`",;\`, c) >= 0:
			return fmt.Sprintf("it has %q outside of quotes: send one string in quotes", c)
		}
	}
	return ""
}
