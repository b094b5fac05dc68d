package relay_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// recorder keeps the log's messages, which also go to the test's.
type recorder struct {
	mu   sync.Mutex
	said []slog.Record
}

func (r *recorder) logger(t testing.TB) *slog.Logger {
	return slog.New(&recordingHandler{Handler: logger(t).Handler(), recorder: r})
}

type recordingHandler struct {
	slog.Handler
	recorder *recorder
}

func (h *recordingHandler) Handle(ctx context.Context, record slog.Record) error {
	h.recorder.mu.Lock()
	h.recorder.said = append(h.recorder.said, record.Clone())
	h.recorder.mu.Unlock()
	return h.Handler.Handle(ctx, record)
}

func (h *recordingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &recordingHandler{Handler: h.Handler.WithAttrs(attrs), recorder: h.recorder}
}

// count is how often a message that contains text was logged.
func (r *recorder) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, record := range r.said {
		if strings.Contains(record.Message, text) {
			n++
		}
	}
	return n
}

// statementCounter counts what a relay sends to the database.
type statementCounter struct {
	mu   sync.Mutex
	sent []time.Time
}

func (c *statementCounter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, time.Now())
}

// age is how long ago the first was sent.
func (c *statementCounter) age() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sent) == 0 {
		return 0
	}
	return time.Since(c.sent[0])
}

// rate is that of the last so long, in statements a second.
func (c *statementCounter) rate(over time.Duration) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, at := range c.sent {
		if time.Since(at) < over {
			n++
		}
	}
	return float64(n) / over.Seconds()
}

func (c *statementCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.add()
	return ctx
}

func (c *statementCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *statementCounter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (c *statementCounter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {
	c.add()
}

func (c *statementCounter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
