package relay

import (
	"log/slog"
	"time"
)

// trouble logs that something began to fail, that it fails differently, and
// that it is over: each change once, not every attempt.
type trouble struct {
	log   *slog.Logger
	now   func() time.Time
	since time.Time
	last  string
	tries int
}

func newTrouble(log *slog.Logger, now func() time.Time) *trouble {
	return &trouble{log: log, now: now}
}

// failed returns for how long it has been failing.
func (t *trouble) failed(message string, err error) time.Duration {
	if t.since.IsZero() {
		t.since = t.now()
	}
	t.tries++
	if text := err.Error(); text != t.last {
		t.last = text
		t.log.Warn(message, "error", err)
	}
	return t.now().Sub(t.since)
}

func (t *trouble) over(message string) {
	if t.tries > 0 {
		t.log.Info(message, "attempts", t.tries, "after", t.now().Sub(t.since).Round(time.Millisecond))
		t.since, t.last, t.tries = time.Time{}, "", 0
	}
}
