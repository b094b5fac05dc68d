package relay

import (
	"time"

	"github.com/tandem-outbox/tandem/relay/internal/facts"
)

// readMark is how far the log is read in this term.
type readMark struct {
	at       checkpoint // what it does not cover is not read
	position int64      // the greatest that was read
}

// noteRead tells the watcher, before anything of p can be done.
func (t *term) noteRead(p *page) {
	position := t.readTo.Load().position
	if n := len(p.items); n > 0 {
		position = max(position, p.items[n-1].Position)
	}
	t.readTo.Store(&readMark{at: p.after, position: position})
}

// progress is what a tracker has under way.
type progress struct {
	events, bytes int
	at            checkpoint // everything before it is done
	first         int64      // position and time of the first event that is not done
	oldest        time.Time
}

func (t *tracker) progress() progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := progress{events: t.outstanding, bytes: t.bytes, at: t.at}
	if len(t.pages) > 0 && t.pages[0].next < len(t.pages[0].items) {
		it := &t.pages[0].items[t.pages[0].next]
		p.first, p.oldest = it.Position, it.CreatedAt
	}
	return p
}

func (c checkpoint) cursor() facts.Cursor {
	return facts.Cursor{Prev: c.prev, Low: c.low, Cur: c.cur, Done: c.done, High: c.high}
}
