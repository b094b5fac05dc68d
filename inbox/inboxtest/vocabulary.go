package inboxtest

import (
	"bytes"
	"fmt"
	"strings"
)

// vocabulary puts the messages of one connection into words. It knows of PostgreSQL's
// protocol what people want to read in a failure: which statement it was.
type vocabulary struct {
	prepared map[string]string // statements by name
	last     string            // the statement that was sent last
}

// describe says that a message is lost.
func (v *vocabulary) describe(sent bool, message []byte) string {
	if len(message) < 5 {
		return "a message was lost"
	}
	kind, body := message[0], message[5:]
	if sent {
		return v.sent(kind, body) + " did not reach the server"
	}
	return v.answer(kind, body) + " did not reach the client"
}

func (v *vocabulary) sent(kind byte, body []byte) string {
	switch kind {
	case 'Q': // Query
		v.last = cut(body)
		return "the client's " + v.last
	case 'P': // Parse
		name, rest, _ := bytes.Cut(body, []byte{0})
		v.remember(string(name), cut(rest))
		return "the client's wish to prepare " + v.last
	case 'B': // Bind
		_, rest, _ := bytes.Cut(body, []byte{0}) // the portal
		name, _, _ := bytes.Cut(rest, []byte{0})
		if statement, known := v.prepared[string(name)]; known {
			v.last = statement
		}
		return "the client's parameters for " + v.last
	case 'E': // Execute
		return "the client's wish to execute " + v.last
	}
	names := map[byte]string{'D': "Describe", 'S': "Sync", 'H': "Flush", 'C': "Close", 'X': "Terminate", 'd': "CopyData", 'c': "CopyDone"}
	return fmt.Sprintf("the client's %s after %s", nameOf(names, kind), v.last)
}

func (v *vocabulary) remember(name, statement string) {
	if v.prepared == nil {
		v.prepared = map[string]string{}
	}
	v.prepared[name], v.last = statement, statement
}

func (v *vocabulary) answer(kind byte, body []byte) string {
	if kind == 'C' { // CommandComplete
		tag, _, _ := bytes.Cut(body, []byte{0})
		return fmt.Sprintf("the server's answer %s, which was carried out,", tag)
	}
	names := map[byte]string{
		'1': "ParseComplete", '2': "BindComplete", '3': "CloseComplete", 't': "ParameterDescription", 'T': "RowDescription", 'n': "NoData",
		'D': "DataRow", 'Z': "ReadyForQuery", 'E': "ErrorResponse", 'N': "NoticeResponse", 'S': "ParameterStatus", 'I': "EmptyQueryResponse",
	}
	return fmt.Sprintf("the server's answer %s, the client's last statement being %s,", nameOf(names, kind), v.last)
}

func nameOf(names map[byte]string, kind byte) string {
	if name, known := names[kind]; known {
		return name
	}
	return fmt.Sprintf("message %q", kind)
}

// cut is a statement in a few words.
func cut(body []byte) string {
	const limit = 80
	statement, _, _ := bytes.Cut(body, []byte{0})
	text := strings.Join(strings.Fields(string(statement)), " ")
	if runes := []rune(text); len(runes) > limit {
		text = string(runes[:limit]) + "…"
	}
	return fmt.Sprintf("%q", text)
}
