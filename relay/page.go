package relay

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// checkpoint is what is durably done; the columns of tandem.checkpoint.
type checkpoint struct {
	prev string // every event visible in it is done
	low  int64  // no event of a transaction at or after xmax(prev) is at or below it
	cur  string // where a window is under way: its other end; else ""
	done int64  // events of the window up to this position are done
	high int64  // no event of the window is above it
	own  bool   // prev was taken in this term, and so is later than every claim of another
}

// item is an event on its way through a lane: out of the log, with its place in
// its page, or from elsewhere, with who fetched it.
type item struct {
	Event
	page  *page
	index int
	from  source // nil for the log
	hash  uint32 // murmur2 of the key

	expires   int64 // Unix microseconds by the database's clock; 0 where it does not expire
	once      delivery
	scheduled bool // has a time before which it is not sent
	unordered bool // neither holds nor waits for its key
}

// source fetched an event from elsewhere than the log. It is told when the broker
// has acknowledged it, and then or otherwise when it is off the books: one that
// was not sent is where it was, unless it was set aside anew.
type source interface {
	sent(it *item)
	settle(it *item)
}

// delivery is how often an event may be sent.
type delivery byte

const (
	atLeastOnce delivery = iota
	atMostOnce
	claimed // at most once, and an earlier term may have sent it
)

// key returns the event's ordering key; there is none where order is not kept.
func (it *item) key() (string, bool) {
	return string(it.Key), it.Key != nil && !it.unordered && it.once == atLeastOnce && it.Replay == 0
}

func (it *item) size() int { return len(it.Key) + len(it.Headers) + len(it.Payload) + eventOverhead }

// page is one read from the log: a whole small window, or a slice by position
// of a frozen one. It is the unit of memory.
type page struct {
	items    []item
	bytes    int
	last     int64 // the position decoded last
	unsorted bool
	// Where the checkpoint stands while the page is under way (done is filled
	// in from its events) and once all of it is done.
	under, after checkpoint

	// Owned by the tracker.
	done      []bool
	next      int // the first event that is not done
	remaining int

	arena  []byte
	refs   []*item // the events that go straight to the lanes
	fitted bool    // made for its events alone, and of no use to others
}

// eventOverhead is what an event costs in memory beside its own bytes.
const eventOverhead = 200

// volume is what the events take without eventOverhead: what limits in bytes mean.
func (p *page) volume() int { return p.bytes - len(p.items)*eventOverhead }

// decode copies one row, in eventColumns' order and the binary format, into the
// page. The strings of topics and types come from names, once each.
func (p *page) decode(values [][]byte, names *interned) error {
	if len(values[0]) != 8 || len(values[1]) != 16 || len(values[2]) != 8 {
		return fmt.Errorf("an event's row is not in the expected format: %d, %d and %d bytes of position, id and time", len(values[0]), len(values[1]), len(values[2]))
	}
	p.items = append(p.items, item{})
	it := &p.items[len(p.items)-1]
	it.Position = int64(binary.BigEndian.Uint64(values[0]))
	copy(it.ID[:], values[1])
	it.CreatedAt = time.UnixMicro(int64(binary.BigEndian.Uint64(values[2])) + postgresEpoch)
	it.Partition = -1
	if len(values[3]) == 4 {
		it.Partition = int32(binary.BigEndian.Uint32(values[3]))
	}
	it.Topic, it.Type = names.get(values[4]), names.get(values[6])
	it.Key, it.Headers, it.Payload = p.keep(values[5]), p.keep(values[7]), p.keep(values[8])
	if it.Key != nil {
		it.hash = murmur2(values[5])
	}
	it.scheduled = values[9] != nil
	if len(values[10]) == 8 {
		it.expires = int64(binary.BigEndian.Uint64(values[10])) + postgresEpoch
	}
	if len(values[11]) == 4 {
		it.once = delivery(values[11][3])
	}
	p.bytes += it.size()
	p.unsorted = p.unsorted || it.Position < p.last
	p.last = it.Position
	return nil
}

// postgresEpoch is 2000-01-01 in Unix microseconds.
const postgresEpoch = 946_684_800_000_000

// keep copies b into the page's arena; what does not fit is allocated alone. What is
// empty stays so, in a page without an arena too: a nil payload is a tombstone.
func (p *page) keep(b []byte) []byte {
	switch {
	case b == nil:
		return nil
	case len(b) == 0:
		return []byte{}
	}
	if len(p.arena)+len(b) > cap(p.arena) {
		return append(make([]byte, 0, len(b)), b...)
	}
	start := len(p.arena)
	p.arena = append(p.arena, b...)
	return p.arena[start:len(p.arena):len(p.arena)]
}

// finish sorts the events by position and gives each its place.
func (p *page) finish() {
	if p.unsorted {
		slices.SortFunc(p.items, func(a, b item) int { return cmp.Compare(a.Position, b.Position) })
	}
	for i := range p.items {
		p.items[i].page = p
		p.items[i].index = i
	}
	p.remaining = len(p.items)
	p.done = append(p.done[:0], make([]bool, len(p.items))...)
	p.next = 0
}

// fit returns the page to be sent on its way: p, or where p has room for much
// more than it holds, one of just its size. Behind a slow broker there may be
// thousands of pages of one event each, and what they take is p.bytes.
func (p *page) fit() *page {
	if 2*p.bytes >= cap(p.arena) || len(p.items) == 0 {
		return p
	}
	small := &page{items: make([]item, 0, len(p.items)), arena: make([]byte, 0, p.volume()), bytes: p.bytes, under: p.under, after: p.after, fitted: true}
	for _, it := range p.items {
		it.Key, it.Headers, it.Payload = small.keep(it.Key), small.keep(it.Headers), small.keep(it.Payload)
		small.items = append(small.items, it)
	}
	small.finish()
	return small
}

// reset makes the page ready to be read into again.
func (p *page) reset() {
	*p = page{items: p.items[:0], done: p.done[:0], arena: p.arena[:0], refs: p.refs[:0]}
}

// interned keeps one string for each different value.
type interned struct{ strings map[string]string }

// get allocates only for a value not seen before. The set is emptied when a
// stream of ever new types would make it grow without end.
func (n *interned) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := n.strings[string(b)]; ok {
		return s
	}
	if n.strings == nil || len(n.strings) > 10_000 {
		n.strings = map[string]string{}
	}
	s := string(b)
	n.strings[s] = s
	return s
}
