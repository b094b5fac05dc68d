package inboxkafka

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// backoff is a growing pause between attempts.
type backoff struct {
	min, max time.Duration
	pause    time.Duration
}

// next is the next pause, between half of the current one and all of it; the
// current one doubles.
func (b *backoff) next() time.Duration {
	pause := max(b.pause, b.min)
	b.pause = min(2*pause, b.max)
	return pause/2 + rand.N(pause/2+1)
}

// wait pauses. It returns false when ctx ended first.
func (b *backoff) wait(ctx context.Context) bool { return wait(ctx, b.next()) }

func (b *backoff) reset() { b.pause = 0 }

// wait pauses, and returns false when ctx ended first.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

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

// overOf is over where the trouble is one of these.
func (t *trouble) overOf(states ...string) {
	if slices.Contains(states, t.state) {
		t.over()
	}
}

// over says that all is well again.
func (t *trouble) over() {
	if t.state == "" {
		return
	}
	t.log.Info("it goes on", "after", time.Since(t.since).Round(time.Millisecond), "attempts", t.attempts)
	t.state, t.attempts = "", 0
}

// seldom logs what may happen often: at once, and then once a second with how
// many there were in between.
type seldom struct {
	log    *slog.Logger
	last   time.Time
	unsaid int
}

func (s *seldom) report(level slog.Level, message string, attrs ...any) {
	if time.Since(s.last) < time.Second {
		s.unsaid++
		return
	}
	if s.unsaid > 0 {
		attrs = append(attrs, "and_before", s.unsaid)
	}
	s.last, s.unsaid = time.Now(), 0
	s.log.Log(context.Background(), level, message, attrs...)
}
