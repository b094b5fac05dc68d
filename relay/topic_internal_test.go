package relay

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newTestTopic returns a topic of a term whose keeper does nothing.
func newTestTopic(now func() time.Time) *topic {
	log := slog.New(slog.DiscardHandler)
	t := &term{
		Relay: &Relay{log: log, now: now}, log: log, tracker: newTracker(checkpoint{}, 1<<20),
		taking: context.Background(),
	}
	t.asides.dirty = t.tracker.dirty
	return &topic{
		term: t, name: "orders", held: map[string]struct{}{},
		arrived: make(chan struct{}, 1), emptied: make(chan struct{}, 1), flowing: make(chan struct{}, 1),
	}
}

// read returns n events of the log, each with a key of its own.
func (tp *topic) read(n int) []*item {
	p := &page{}
	for i := range n {
		p.items = append(p.items, item{Event: Event{Position: int64(i + 1), Topic: tp.name, Partition: -1, Key: []byte(strconv.Itoa(i))}})
	}
	p.finish()
	tp.tracker.push(p)
	items := make([]*item, n)
	for i := range p.items {
		items[i] = &p.items[i]
	}
	return items
}

// Behind a topic that is missing for hours nothing grows with what is set aside.
func TestATopicThatIsSetAsideRemembersNoKeys(t *testing.T) {
	t.Parallel()
	tp := newTestTopic(time.Now)
	tp.push(tp.read(10))
	require.Len(t, tp.waiting, 10)
	tp.mu.Lock()
	tp.putAside(errors.New("missing"))
	tp.mu.Unlock()
	require.Empty(t, tp.waiting)
	tp.push(tp.read(1000))
	require.Len(t, tp.asides.entries, 1010)
	require.Zero(t, tp.tracker.left())
	require.Empty(t, tp.held)
}

// One record that is sent again and again, and refused, is not record after
// record; twenty different ones are.
func TestRecordAfterRecordIsDifferentRecords(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tp := newTestTopic(func() time.Time { return now })
	refuse := func(it *item) {
		tp.under++
		tp.refuse(it, errors.New("too large"))
		now = now.Add(time.Hour)
		tp.decideInTime()
	}
	items := tp.read(refusalsInARow)
	refuse(items[0])
	for range 2 * refusalsInARow {
		refuse(&item{Event: items[0].Event, from: &flow{topic: tp, changed: make(chan struct{}, 1)}})
	}
	require.False(t, tp.aside)
	for _, it := range items[1:] {
		require.False(t, tp.aside)
		refuse(it)
	}
	require.True(t, tp.aside)
	require.Zero(t, tp.under)

	// One more of the log that was under way is not waited for: the flow that
	// decides begins when nothing of the log is.
	late := tp.read(1)[0]
	refuse(late)
	require.Zero(t, tp.under)
	require.Empty(t, tp.suspects)
}
