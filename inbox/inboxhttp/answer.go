package inboxhttp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
)

// answer is what a client gets, and what is kept for its next attempt. The first
// and every later one are sent from the same fields.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send writes the answer. Headers that were set around the middleware stay,
// unless the handler has set the same; those that are made to be added are.
func (a answer) send(w http.ResponseWriter, replayed bool) {
	header := w.Header()
	for name, values := range a.header {
		if name == "Set-Cookie" || name == "Vary" {
			values = append(header[name], values...)
		}
		header[name] = values
	}
	if replayed {
		header.Set("Idempotent-Replayed", "true")
	}
	w.WriteHeader(a.status)
	// Who is gone by now asks again.
	_, _ = w.Write(a.body)
}

// wire is the header as HTTP writes it, with the empty line at its end. It keeps
// bytes that neither text nor jsonb could.
func (a answer) wire() []byte {
	var b bytes.Buffer
	_ = a.header.Write(&b) // to memory
	b.WriteString("\r\n")
	return b.Bytes()
}

func readWire(raw []byte) (http.Header, error) {
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(raw))).ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	return http.Header(header), nil
}

// recorder is the handler's ResponseWriter. It sends nothing, and has neither
// Flush nor Hijack, nor an Unwrap by which they could be found.
type recorder struct {
	header http.Header
	answer answer // its status is 0 until the handler has begun to answer
	limit  int    // of body and headers, in bytes
	fault  error  // why the answer cannot be sent
}

var (
	errTooLarge = errors.New("the answer is larger than Config.MaxAnswer allows")
	errSwitched = errors.New("the handler answered 101: protocols cannot be switched in a transaction")
)

func (r *recorder) Header() http.Header { return r.header }

// WriteHeader counts once, as everywhere. Informational answers are not sent.
func (r *recorder) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("inboxhttp: invalid status %d", status)) // as net/http does
	case r.answer.status != 0:
		return
	case status == http.StatusSwitchingProtocols:
		r.fault = errSwitched
	case status < 200:
		return
	}
	r.answer.status = status
	r.answer.header = endToEnd(r.header)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.answer.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case r.answer.status == http.StatusNoContent || r.answer.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case len(r.answer.body)+len(p) > r.limit:
		r.fault = errTooLarge
	}
	if r.fault != nil {
		return 0, r.fault
	}
	r.answer.body = append(r.answer.body, p...)
	return len(p), nil
}

// finish returns what the handler has answered, once it has returned: with the
// headers as they come back from storage, so that every attempt gets the same.
func (r *recorder) finish() (answer, error) {
	if r.answer.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	wire := r.answer.wire()
	if r.fault == nil && len(r.answer.body)+len(wire) > r.limit {
		r.fault = errTooLarge
	}
	if r.fault != nil {
		return answer{}, r.fault
	}
	header, err := readWire(wire)
	if err != nil {
		return answer{}, fmt.Errorf("the handler set a header that HTTP does not allow: %w", err)
	}
	r.answer.header = header
	return r.answer, nil
}

// perConnection are headers that mean one connection, or are net/http's to set.
var perConnection = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Content-Length", "Date",
}

// endToEnd returns a copy of what is sent and kept of a handler's headers.
func endToEnd(from http.Header) http.Header {
	header := from.Clone()
	for _, line := range header.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range perConnection {
		header.Del(name)
	}
	for name := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(header, name)
		}
	}
	return header
}
