package inboxkafka

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// backoff is a growing pause between attempts.
type backoff struct {
	min, max time.Duration
	next     time.Duration
}

// wait pauses, between half of the current pause and all of it, and doubles it.
// It returns false when ctx ended first.
func (b *backoff) wait(ctx context.Context) bool {
	pause := max(b.next, b.min)
	b.next = min(2*pause, b.max)
	timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (b *backoff) reset() { b.next = 0 }

// trouble logs each change of state once. The zero state is that all is well.
type trouble struct {
	log      *slog.Logger
	state    string
	since    time.Time
	attempts int
}

func (t *trouble) error(state, message string, attrs ...any) {
	t.report(slog.LevelError, state, message, attrs)
}

func (t *trouble) warn(state, message string, attrs ...any) {
	t.report(slog.LevelWarn, state, message, attrs)
}

func (t *trouble) report(level slog.Level, state, message string, attrs []any) {
	t.attempts++
	if state == t.state {
		return
	}
	if t.state == "" {
		t.since = time.Now()
	}
	t.state = state
	t.log.Log(context.Background(), level, message, attrs...)
}

// over says that all is well again.
func (t *trouble) over() {
	if t.state == "" {
		return
	}
	t.log.Info("it goes on", "after", time.Since(t.since).Round(time.Millisecond), "attempts", t.attempts)
	t.state, t.attempts = "", 0
}
