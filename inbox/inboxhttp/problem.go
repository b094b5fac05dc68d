package inboxhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// problem is what the middleware itself answers, as RFC 9457 has it. As an error
// it is the client's affair and not logged.
type problem struct {
	status int
	kind   string // the last part of "type"
	title  string
	detail string
	header http.Header
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.status, p.title, p.detail) }

// problemType leads to the list in doc.go.
const problemType = "https://pkg.go.dev/github.com/tandem-outbox/tandem/inbox/inboxhttp?problem=%s#hdr-Problems"

func (p *problem) answer() answer {
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{fmt.Sprintf(problemType, p.kind), p.title, p.status, p.detail})
	if err != nil {
		panic(err) // of strings and a number: it cannot be
	}
	header := p.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	return answer{status: p.status, header: header, body: body}
}

// soon is when to ask again, in seconds.
var soon = http.Header{"Retry-After": {"1"}}

func keyMissing() *problem {
	return &problem{status: http.StatusBadRequest, kind: "key-missing", title: "Idempotency-Key is missing",
		detail: "Send a header Idempotency-Key with a value that is new for each operation and the same for each attempt at it."}
}

func keyMalformed(why string) *problem {
	return &problem{status: http.StatusBadRequest, kind: "key-malformed", title: "Idempotency-Key is malformed",
		detail: fmt.Sprintf("It must be one string of 1 to %d printable ASCII characters in quotes, but %s.", keyMax, why)}
}

func bodyUnreadable() *problem {
	return &problem{status: http.StatusBadRequest, kind: "body-unreadable", title: "The body could not be read",
		detail: "The request's body did not arrive whole. Nothing was done."}
}

func bodyTooLarge(limit int) *problem {
	return &problem{status: http.StatusRequestEntityTooLarge, kind: "body-too-large", title: "The body is too large",
		detail: fmt.Sprintf("The request's body has more than %d bytes. Nothing was done.", limit)}
}

func wrongMethod(allowed []string) *problem {
	return &problem{status: http.StatusMethodNotAllowed, kind: "method", title: "Method not allowed",
		detail: "Nothing was done.", header: http.Header{"Allow": {strings.Join(allowed, ", ")}}}
}

func inProgress() *problem {
	return &problem{status: http.StatusConflict, kind: "in-progress", title: "A request is outstanding for this Idempotency-Key",
		detail: "Another attempt with this key is under way. Ask again for its answer.", header: soon}
}

func keyReused() *problem {
	return &problem{status: http.StatusUnprocessableEntity, kind: "key-reused", title: "Idempotency-Key is already used",
		detail: "This key came with another request before: method, path, query, Content-Type and body must be the same. Nothing was done; a new operation needs a new key."}
}

func internal() *problem {
	return &problem{status: http.StatusInternalServerError, kind: "internal", title: "Internal server error",
		detail: "The request failed here, and no answer was kept. It may be repeated with the same key."}
}

func unavailable() *problem {
	return &problem{status: http.StatusServiceUnavailable, kind: "unavailable", title: "Service unavailable",
		detail: "It is not certain that the request was done. Repeat it with the same key: it is done once.", header: soon}
}
