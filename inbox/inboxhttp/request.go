package inboxhttp

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/tandem-outbox/tandem/inbox/internal/ids"
)

// request is a request that may be run.
type request struct {
	http        *http.Request // with its body in memory
	scope       string
	key         string // empty where there is none and none is needed
	lock        int64  // what the key is claimed by
	fingerprint []byte // what all attempts of one key have in common
}

// admit looks at a request before it costs the database anything. An error is a
// *problem or a fault of this side.
func (m *Middleware) admit(w http.ResponseWriter, r *http.Request) (*request, error) {
	key, problem := parseKey(r.Header.Values(keyHeader))
	switch {
	case problem != "":
		return nil, keyMalformed(problem)
	case key == "" && !m.config.OptionalKey:
		return nil, keyMissing()
	case r.ContentLength > int64(m.config.MaxBody):
		return nil, bodyTooLarge(m.config.MaxBody)
	}
	scope, err := m.scope(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(w, r, m.config.MaxBody)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, bodyTooLarge(m.config.MaxBody)
	case err != nil:
		return nil, bodyUnreadable()
	}
	buffered := r.WithContext(r.Context()) // a copy
	buffered.Body = io.NopCloser(bytes.NewReader(body))
	buffered.ContentLength = int64(len(body))
	buffered.TransferEncoding = nil
	path, query := target(r)
	return &request{
		http:  buffered,
		scope: scope,
		key:   key,
		lock:  int64(binary.BigEndian.Uint64(digest(m.config.Schema, m.config.Consumer, scope, key))),
		fingerprint: digest(r.Method, path, query,
			strings.Join(r.Header.Values("Content-Type"), ","), string(body)),
	}, nil
}

func readBody(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	if r.Body == nil { // a request that no server made
		return nil, nil
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
}

func (m *Middleware) scope(r *http.Request) (string, error) {
	scope, err := m.config.Scope(r)
	if err != nil {
		return "", &fault{err: fmt.Errorf("Config.Scope: %w", err)}
	}
	if problem := ids.Problem(ids.ConsumerMax, scope); problem != "" {
		return "", &fault{err: fmt.Errorf("Config.Scope returned what is no client's name: %s", problem)}
	}
	return scope, nil
}

// target is what the client asked for, whatever a router in front has cut off.
func target(r *http.Request) (path, query string) {
	u := r.URL
	if asked, err := url.ParseRequestURI(r.RequestURI); err == nil {
		u = asked
	}
	return u.EscapedPath(), u.RawQuery
}

// digest is of all parts, each with its length, so that none runs into the next.
func digest(parts ...string) []byte {
	h := sha256.New()
	for _, part := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		_, _ = io.WriteString(h, part)
	}
	return h.Sum(nil)
}
