package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/relay/internal/backlog"
	"github.com/tandem-outbox/tandem/relay/internal/facts"
)

const (
	measureEvery = 10 * time.Second
	// So many events are counted; of a larger backlog an estimate will do.
	measureBound = 1000
	// The log's growth is that of the last minutes, from so much of them on: it
	// comes in pages and leaves.
	growthOver, growthFrom = 5 * time.Minute, 30 * time.Second
)

// Backlog is what the working relay knows of the events that are committed and
// not done. It is measured every 10 s; InFlight is of this moment.
type Backlog struct {
	Measured time.Time // zero while not measured yet, or while another relay works

	Unsaved   int64         // events committed and not covered by the saved checkpoint
	Unread    int64         // of these, not read yet
	Estimated bool          // Unsaved or Unread is beyond 1,000 and an estimate
	Bytes     int64         // of the keys, headers and payloads of Unsaved
	Age       time.Duration // of the oldest of Unsaved when it was measured

	InFlight      int   // events read and neither acknowledged nor set aside
	InFlightBytes int64 // the memory they take

	// Events that are set aside, each up to 1,000: Waiting are those held and those
	// deferred.
	Parked, Waiting, Scheduled int64

	LogBytes int64         // what the log takes on disk, with its indexes
	Leaves   int           // of the log's 16, those that hold anything
	Growth   float64       // of LogBytes, in bytes a second over the last minutes; 0 where it shrinks
	DiskFull time.Duration // until Config.DiskBytes is full at that rate; 0 where it is not known, or does not grow

	// ClockOffset is how much the database's clock is ahead of this machine's.
	ClockOffset time.Duration

	// Warnings say, for people, which of Config.WarnBacklogBytes and
	// WarnBacklogAge is passed.
	Warnings []string
}

// Backlog may be called at any time.
func (r *Relay) Backlog() Backlog {
	w := r.watching.Load()
	if w == nil {
		return Backlog{}
	}
	w.mu.Lock()
	b := w.last
	w.mu.Unlock()
	p := w.tracker.progress()
	b.InFlight, b.InFlightBytes = p.events, int64(p.bytes)
	return b
}

// Lease returns the term that this relay works in, and for how much longer it may
// trust its lease; zeros while another relay works.
func (r *Relay) Lease() (epoch int64, left time.Duration) {
	w := r.watching.Load()
	if w == nil {
		return 0, 0
	}
	return w.lease.epoch, max(0, w.lease.left(r.now()))
}

// watcher measures the backlog while a term lasts, on the reclaimer's connection.
type watcher struct {
	*term
	next       time.Time
	sizes      []logSize // oldest first
	size, aged limit

	mu   sync.Mutex
	last Backlog
}

// logSize is the log's size at a time.
type logSize struct {
	at    time.Time
	bytes int64
}

// due tells whether it is time to measure, once.
func (w *watcher) due(now time.Time) bool {
	if now.Before(w.next) {
		return false
	}
	w.next = now.Add(measureEvery)
	return true
}

// look measures.
func (w *watcher) look(ctx context.Context, conn *pgx.Conn) error {
	b, err := w.measure(ctx, conn)
	if err != nil {
		return err
	}
	w.warn(&b)
	w.mu.Lock()
	w.last = b
	w.mu.Unlock()
	return nil
}

func (w *watcher) measure(ctx context.Context, conn *pgx.Conn) (Backlog, error) {
	b := Backlog{Measured: w.now()}
	var err error
	if b.LogBytes, b.Leaves, err = backlog.Size(ctx, conn, w.cfg.Schema); err != nil {
		return b, err
	}
	if b.Parked, b.Waiting, b.Scheduled, err = backlog.Aside(ctx, conn, w.cfg.Schema, measureBound); err != nil {
		return b, err
	}
	asked := w.now()
	unsaved, err := backlog.Beyond(ctx, conn, w.cfg.Schema, w.savedTo.Load().cursor(), measureBound, time.Time{})
	if err != nil {
		return b, err
	}
	b.ClockOffset = offset(asked, w.now(), unsaved.Now)
	b.Unsaved, b.Bytes, b.Estimated, b.Age = unsaved.Events, unsaved.Bytes, unsaved.Estimated, unsaved.Age()
	if unsaved.Events > 0 {
		unread, err := backlog.Beyond(ctx, conn, w.cfg.Schema, w.readTo.Load().at.cursor(), measureBound, time.Time{})
		if err != nil {
			return b, err
		}
		b.Unread, b.Estimated = min(unread.Events, b.Unsaved), b.Estimated || unread.Estimated
	}
	w.grow(&b)
	return b, nil
}

// offset takes the middle between question and answer for when the other clock
// was read, and what half of that time could be for no difference.
func offset(asked, answered, theirs time.Time) time.Duration {
	half := answered.Sub(asked) / 2
	d := theirs.Sub(asked.Add(half))
	if d.Abs() <= half {
		return 0
	}
	return d
}

// grow works out the rate of growth, and when the disk will be full.
func (w *watcher) grow(b *Backlog) {
	w.sizes = append(w.sizes, logSize{b.Measured, b.LogBytes})
	for b.Measured.Sub(w.sizes[0].at) > growthOver {
		w.sizes = w.sizes[1:]
	}
	first := w.sizes[0]
	if over := b.Measured.Sub(first.at); over >= growthFrom {
		b.Growth = max(0, float64(b.LogBytes-first.bytes)/over.Seconds())
	}
	if w.cfg.DiskBytes > 0 && b.Growth > 0 {
		left := float64(max(0, w.cfg.DiskBytes-b.LogBytes)) / b.Growth
		b.DiskFull = max(time.Second, time.Duration(min(left, 1e9))*time.Second)
	}
}

// warn compares with the limits, and logs when one is passed or no longer.
func (w *watcher) warn(b *Backlog) {
	said := func(text string) { b.Warnings = append(b.Warnings, text) }
	detail := []any{"log_bytes", b.LogBytes, "events", b.Unsaved, "age", b.Age.Round(time.Second)}
	if b.DiskFull > 0 {
		detail = append(detail, "disk_full_in", b.DiskFull)
	}
	most, age := w.cfg.WarnBacklogBytes, w.cfg.WarnBacklogAge
	if w.size.passed(most > 0 && b.LogBytes > most) {
		said(fmt.Sprintf("the log takes %d bytes on disk, more than the limit of %d for a warning", b.LogBytes, most))
	}
	if w.aged.passed(age > 0 && b.Age > age) {
		said(fmt.Sprintf("the oldest event that is not published was written %v ago, longer than the limit of %v for a warning", b.Age.Round(time.Second), age))
	}
	w.size.log(w.log.With(detail...), "the log has grown past the limit for a warning; writers go on", "the log is below the limit for a warning again", "limit", most)
	w.aged.log(w.log.With(detail...), "the backlog is older than the limit for a warning; writers go on", "the backlog is younger than the limit for a warning again", "limit", age)
}

// facts are for the relay's row.
func (w *watcher) facts() *facts.Term {
	saved, read, p := *w.savedTo.Load(), w.readTo.Load(), w.tracker.progress()
	f := &facts.Term{
		Read: read.at.cursor(), ReadPosition: read.position, AcknowledgedPosition: read.position, SavedPosition: read.position,
		InFlight: int64(p.events), InFlightBytes: int64(p.bytes),
	}
	if p.first > 0 {
		f.AcknowledgedPosition, f.InFlightOldest = p.first-1, &p.oldest
	}
	switch {
	case saved.cur != "":
		f.SavedPosition = saved.done
	case p.events > 0 || saved != p.at:
		f.SavedPosition = saved.low
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Warnings, f.DiskFullSeconds = w.last.Warnings, w.last.DiskFull.Seconds()
	return f
}
