package relay

import (
	"context"
	"sync"
	"time"
)

// tracker knows which events are under way, how many bytes they take, and how
// far everything is done without a gap: that, and nothing beyond it, may be
// saved. Lanes acknowledge in any order; the checkpoint follows the prefix.
type tracker struct {
	limit int // bytes in flight

	mu          sync.Mutex
	pages       []*page // in the order of reading
	at          checkpoint
	bytes       int
	outstanding int
	free        []*page

	dirty chan struct{} // the checkpoint has moved, or something was set aside; one waiter
	moved chan struct{} // events were acknowledged; one waiter
}

func newTracker(at checkpoint, limit int) *tracker {
	return &tracker{limit: limit, at: at, dirty: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// room waits until another page of the given size may be read, and returns an
// empty one. One page is allowed whatever its size.
func (t *tracker) room(ctx context.Context, bytes int) (*page, error) {
	for {
		t.mu.Lock()
		if t.bytes == 0 || t.bytes+bytes <= t.limit {
			var p *page
			if n := len(t.free); n > 0 {
				p, t.free = t.free[n-1], t.free[:n-1]
			}
			t.mu.Unlock()
			if p == nil {
				p = &page{arena: make([]byte, 0, bytes)}
			}
			return p, ctx.Err()
		}
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.moved:
		}
	}
}

// pressed tells whether memory is short: whether events that wait for one topic
// may be keeping the others from being read.
func (t *tracker) pressed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return 2*t.bytes > t.limit
}

// fits tells whether pages of so many bytes may be read now. Only the reader
// takes room, so to itself a yes remains one.
func (t *tracker) fits(bytes int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes+bytes <= t.limit
}

// giveBack returns a page that was not pushed.
func (t *tracker) giveBack(p *page) {
	p.reset()
	t.mu.Lock()
	t.free = append(t.free, p)
	t.mu.Unlock()
}

// push adds a page whose events are about to be dispatched.
func (t *tracker) push(p *page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pages = append(t.pages, p)
	t.bytes += p.bytes
	t.outstanding += p.remaining
	t.advance()
}

// skip moves the checkpoint over a window without events, once what is before it
// is done. It is not worth a save of its own.
func (t *tracker) skip(after checkpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.pages); n > 0 {
		t.pages[n-1].after = after
	} else {
		t.at = after
	}
}

// acknowledge marks events as done.
func (t *tracker) acknowledge(items []*item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	finished := false
	for _, it := range items {
		p := it.page
		p.done[it.index] = true
		p.remaining--
		if p.remaining == 0 {
			t.bytes -= p.bytes
			p.bytes = 0
			finished = true
		}
	}
	t.outstanding -= len(items)
	t.advance()
	if finished {
		t.thin()
	}
	notify(t.moved)
}

// thin gives back what finished pages hold while an event before them is still
// under way, perhaps for hours: of any number in a row is left where they end.
func (t *tracker) thin() {
	kept := t.pages[:0]
	for _, p := range t.pages {
		switch n := len(kept); {
		case p.remaining > 0:
			kept = append(kept, p)
		case n > 0 && kept[n-1].remaining == 0:
			kept[n-1].after = p.after
			t.recycle(p)
		default:
			kept = append(kept, &page{after: p.after, fitted: true})
			t.recycle(p)
		}
	}
	clear(t.pages[len(kept):])
	t.pages = kept
}

// recycle keeps a few pages to be read into again.
func (t *tracker) recycle(p *page) {
	if len(t.free) < 4 && !p.fitted {
		p.reset()
		t.free = append(t.free, p)
	}
}

// advance moves the checkpoint along the contiguous prefix.
func (t *tracker) advance() {
	moved := false
	for len(t.pages) > 0 {
		p := t.pages[0]
		before := p.next
		for p.next < len(p.items) && p.done[p.next] {
			p.next++
		}
		if p.next < len(p.items) {
			if p.next > before {
				t.at = p.under
				t.at.done = p.items[p.next-1].Position
				moved = true
			}
			break
		}
		t.at = p.after
		moved = true
		t.pages[0] = nil
		t.pages = t.pages[1:]
		t.recycle(p)
	}
	if moved {
		notify(t.dirty)
	}
}

// checkpoint returns what may be saved now.
func (t *tracker) checkpoint() checkpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}

// left returns how many events are under way.
func (t *tracker) left() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outstanding
}

// empty waits until every event is off the books, but for those that stay.
func (t *tracker) empty(ctx context.Context, staying func() int) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for t.left() > staying() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.moved:
		case <-look.C:
		}
	}
	return nil
}
