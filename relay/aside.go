package relay

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tandem-outbox/tandem/internal/pgtext"
)

// What cannot be sent now is set aside: copied into tandem.deferred, so that the
// checkpoint, the memory and the other events go on. Copies are made, and taken
// back, by the save that the keeper does anyway, under its fence: a relay that
// has lost its lease can set nothing aside that its successor has published.
//
//	parked     the broker refused it; an operator redrives or discards it
//	waiting    behind a parked event of its key, or for its topic or partition
//	scheduled  its time has not come
//	expired    its time has passed: dropped, and listed in tandem.dropped
//
// An event counts as done from the moment it is handed over here, so every save
// carries all that has been handed over before it looked at the tracker. What a
// failed save carried goes with the next. A crash between sending and taking
// back repeats, as it does everywhere.

const (
	stateParked    = "parked"
	stateWaiting   = "waiting"
	stateScheduled = "scheduled"
	stateExpired   = "expired"
	stateKept      = "kept" // a stored event, as it was, but for its partition
)

// asideEntry is one element of what tandem.set_aside is given.
type asideEntry struct {
	Position int64  `json:"position"`
	State    string `json:"state"`
	Stored   bool   `json:"stored"`          // it has been set aside before
	Lane     *int   `json:"lane,omitempty"`  // the partition that failed, where it was that one alone
	Lanes    int    `json:"lanes,omitempty"` // of how many
	Reason   string `json:"reason"`
	Hint     string `json:"hint"`
	Attempts int    `json:"attempts"`
}

// asides are handed to the keeper with its next save.
type asides struct {
	dirty chan struct{} // the keeper's, shared with the tracker

	mu       sync.Mutex
	entries  []asideEntry
	released []int64 // positions of stored events that were sent
}

const (
	// One save carries at most so many; more go before it, in saves of their own.
	asidesPerSave = 1000
	// mostWords bounds, in bytes, what is kept of a broker's or publisher's error.
	mostWords = 8000
)

func (a *asides) add(entries ...asideEntry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries = append(a.entries, entries...)
	notify(a.dirty)
}

func (a *asides) release(positions ...int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.released = append(a.released, positions...)
	notify(a.dirty)
}

// take empties the list. Who takes gives back what was not saved.
func (a *asides) take() *asides {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := &asides{entries: a.entries, released: a.released}
	a.entries, a.released = nil, nil
	return taken
}

func (a *asides) giveBack(taken *asides) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries = append(taken.entries, a.entries...)
	a.released = append(taken.released, a.released...)
}

// next removes what one save carries, and tells whether it was the last of it.
func (a *asides) next() (part *asides, last bool) {
	n, m := min(len(a.entries), asidesPerSave), min(len(a.released), asidesPerSave)
	part = &asides{entries: a.entries[:n], released: a.released[:m]}
	a.entries, a.released = a.entries[n:], a.released[m:]
	return part, len(a.entries) == 0 && len(a.released) == 0
}

// arguments are what save_checkpoint is given; NULL where there is nothing.
func (a *asides) arguments() (entries *string, released []int64, err error) {
	if len(a.entries) > 0 {
		said := slices.Clone(lastOfStored(a.entries))
		for i := range said {
			said[i].Reason, said[i].Hint = pgtext.Repaired(said[i].Reason, mostWords), pgtext.Repaired(said[i].Hint, mostWords)
		}
		text, err := json.Marshal(said)
		if err != nil {
			return nil, nil, fmt.Errorf("set events aside: %w", err)
		}
		s := string(text)
		entries = &s
	}
	if len(a.released) > 0 {
		released = a.released
	}
	return entries, released, nil
}

// lastOfStored leaves out what was said of a stored event before the last word on
// it: one statement does not update a row twice.
func lastOfStored(entries []asideEntry) []asideEntry {
	last := map[int64]int{}
	for i, e := range entries {
		if e.Stored {
			last[e.Position] = i
		}
	}
	if len(last) == 0 {
		return entries
	}
	kept := make([]asideEntry, 0, len(entries))
	for i, e := range entries {
		if !e.Stored || last[e.Position] == i {
			kept = append(kept, e)
		}
	}
	return kept
}

func (a *asides) has(state string) bool {
	return slices.ContainsFunc(a.entries, func(e asideEntry) bool { return e.State == state })
}

// setAside hands events over and counts them as done: those of the log to the
// tracker, others to who fetched them.
func (t *term) setAside(items []*item, what asideEntry) {
	if len(items) == 0 {
		return
	}
	entries := make([]asideEntry, 0, len(items))
	for _, it := range items {
		what.Position, what.Stored = it.Position, it.from != nil
		entries = append(entries, what)
	}
	t.asides.add(entries...)
	t.done(items)
}

// done takes events off the books, whatever became of them.
func (t *term) done(items []*item) {
	logged := items
	if slices.ContainsFunc(items, func(it *item) bool { return it.from != nil }) {
		logged = make([]*item, 0, len(items))
		for _, it := range items {
			if it.from == nil {
				logged = append(logged, it)
			} else {
				it.from.settle(it)
			}
		}
	}
	if len(logged) > 0 {
		t.tracker.acknowledge(logged)
	}
}

// sent takes events off the books that the broker has acknowledged.
func (t *term) sent(items []*item) {
	t.stats.published.Add(int64(len(items)))
	for _, it := range items {
		if it.from != nil {
			it.from.sent(it)
		}
	}
	t.done(items)
}

// lose takes at-most-once events off the books whose attempt is over.
func (t *term) lose(items []*item, why error) {
	if len(items) == 0 {
		return
	}
	t.stats.lost.Add(int64(len(items)))
	t.losses.add(t.log, t.now(), len(items), why)
	t.done(items)
}

// losses logs that at-most-once events are lost, at most every so often: while a
// broker is away each of them is.
type losses struct {
	mu     sync.Mutex
	logged time.Time
	n      int // lost and not logged yet
}

const logLossesEvery = 10 * time.Second

func (l *losses) add(log *slog.Logger, now time.Time, n int, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += n
	if now.Sub(l.logged) < logLossesEvery {
		return
	}
	log.Warn("at-most-once events are lost", "events", l.n, "error", why)
	l.logged, l.n = now, 0
}
