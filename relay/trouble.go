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
	kind  string
	from  time.Time // when kind began
	last  string
	tries int
}

func newTrouble(log *slog.Logger, now func() time.Time) *trouble {
	return &trouble{log: log, now: now}
}

// failed returns for how long it has been failing with this message: a topic
// that is not known for a moment after an outage has not been missing all along.
func (t *trouble) failed(message string, err error) time.Duration {
	now := t.now()
	if t.tries == 0 {
		t.since = now
	}
	if message != t.kind {
		t.kind, t.from = message, now
	}
	t.tries++
	if text := err.Error(); text != t.last {
		t.last = text
		t.log.Warn(message, "error", err)
	}
	return now.Sub(t.from)
}

func (t *trouble) over(message string) {
	if t.tries > 0 {
		t.log.Info(message, "attempts", t.tries, "after", t.now().Sub(t.since).Round(time.Millisecond))
		t.kind, t.last, t.tries = "", "", 0
	}
}
