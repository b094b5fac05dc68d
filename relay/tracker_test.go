package relay

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// fill makes p a page of n events that end at position last, each with a
// payload of the given size.
func (p *page) fill(n int, last int64, size int) {
	for i := range n {
		e := Event{Position: last - int64(n-1-i), Payload: p.keep(make([]byte, size))}
		p.items = append(p.items, item{Event: e})
		p.bytes += size + eventOverhead
	}
	p.finish()
}

// Lanes acknowledge in any order, while pages arrive: the checkpoint never
// passes an event that is not acknowledged, never goes back, and ends where the
// last page says; no byte stays accounted for.
func TestTheCheckpointNeverPassesAnEventUnderWay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr := newTracker(checkpoint{prev: "3:3:"}, 1<<20)
		var under []*item
		acknowledged := map[int64]bool{}
		read, done := int64(0), int64(0)
		after := tr.checkpoint()
		check := func() {
			at := tr.checkpoint()
			require.GreaterOrEqual(t, at.done, done, "the checkpoint went back")
			for done = done + 1; done <= at.done; done++ {
				require.True(t, acknowledged[done], "the checkpoint passed %d", done)
			}
			done--
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "read") || len(under) == 0 {
				p, err := tr.room(context.Background(), 1<<10)
				require.NoError(t, err)
				n := rapid.IntRange(0, 5).Draw(t, "events")
				p.under = after
				p.under.cur = "x"
				read += int64(n)
				p.fill(n, read, 10)
				after = checkpoint{prev: after.prev + "'", done: read}
				p.after = after
				p = p.fit()
				for i := range p.items {
					under = append(under, &p.items[i])
				}
				tr.push(p)
			} else {
				n := rapid.IntRange(1, len(under)).Draw(t, "acknowledgements")
				var now []*item
				for range n {
					i := rapid.IntRange(0, len(under)-1).Draw(t, "which")
					now = append(now, under[i])
					acknowledged[under[i].Position] = true
					under = append(under[:i], under[i+1:]...)
				}
				tr.acknowledge(now)
			}
			check()
			require.Equal(t, len(under), tr.left())
		}
		for _, it := range under {
			acknowledged[it.Position] = true
			tr.acknowledge([]*item{it})
			check()
		}
		require.Equal(t, after, tr.checkpoint())
		require.Zero(t, tr.left())
		require.Zero(t, tr.bytes)
		require.Empty(t, tr.pages)
		require.LessOrEqual(t, len(tr.free), 4)
		require.NoError(t, tr.empty(context.Background(), nobody))
	})
}

func TestSkippingAnEmptyWindowWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	tr := newTracker(checkpoint{prev: "1"}, 1<<20)
	tr.skip(checkpoint{prev: "2"})
	require.Equal(t, "2", tr.checkpoint().prev)
	p := &page{after: checkpoint{prev: "3"}, under: checkpoint{prev: "2", cur: "3"}}
	p.fill(1, 7, 10)
	tr.push(p)
	tr.skip(checkpoint{prev: "4"})
	require.Equal(t, "2", tr.checkpoint().prev)
	tr.acknowledge([]*item{&p.items[0]})
	require.Equal(t, "4", tr.checkpoint().prev)
}

// One event is stuck, a topic's that is away for instance, while thousands of
// pages after it come and go: none of them may be kept.
func TestFinishedPagesBehindAStuckEventTakeNoMemory(t *testing.T) {
	t.Parallel()
	tr := newTracker(checkpoint{}, 1<<20)
	page := func(last int64, events int) *page {
		p, err := tr.room(t.Context(), 1<<10)
		require.NoError(t, err)
		p.fill(events, last, 10)
		p.after = checkpoint{done: last}
		tr.push(p)
		return p
	}
	stuck := page(1, 1)
	for last := int64(2); last < 2000; last += 2 {
		p := page(last+1, 2)
		second, first := &p.items[1], &p.items[0]
		tr.acknowledge([]*item{second})
		tr.acknowledge([]*item{first})
		require.LessOrEqual(t, len(tr.pages), 2)
	}
	require.Equal(t, stuck.bytes, tr.bytes)
	require.Zero(t, tr.checkpoint())
	tr.acknowledge([]*item{&stuck.items[0]})
	require.Equal(t, checkpoint{done: 2001 - 2}, tr.checkpoint())
	require.Empty(t, tr.pages)
}

func TestThereIsRoomOnlyBelowTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker(checkpoint{}, 10_000)
		p, err := tr.room(t.Context(), 5000)
		require.NoError(t, err)
		p.fill(1, 1, 50_000) // one page is allowed whatever its size
		tr.push(p)
		var second *page
		go func() { second, _ = tr.room(t.Context(), 5000) }()
		synctest.Wait()
		require.Nil(t, second)
		tr.acknowledge([]*item{&p.items[0]})
		synctest.Wait()
		require.NotNil(t, second)

		second.fill(1, 2, 9000)
		tr.push(second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = tr.room(ctx, 5000)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, tr.empty(ctx, nobody), context.Canceled)
	})
}

// Behind a broker that does not answer there are thousands of pages of one
// event: what each takes must be what it counts for.
func TestAPageOfFewEventsTakesLittleMemory(t *testing.T) {
	t.Parallel()
	p := &page{arena: make([]byte, 0, 2<<20), items: make([]item, 0, 6000), after: checkpoint{prev: "9"}}
	p.items = append(p.items, item{Event: Event{Position: 5, Key: p.keep([]byte("key")), Headers: nil, Payload: p.keep([]byte{})}})
	p.bytes = 3 + eventOverhead
	p.finish()

	small := p.fit()
	require.NotSame(t, p, small)
	require.Less(t, cap(small.arena)+cap(small.items)*eventOverhead, 1000)
	require.Equal(t, p.after, small.after)
	require.Equal(t, p.bytes, small.bytes)
	p.keep([]byte("xxxxxxxx"))
	p.reset()
	p.keep([]byte("xxxxxxxx"))
	it := small.items[0]
	require.Equal(t, "key", string(it.Key))
	require.Nil(t, it.Headers)
	require.NotNil(t, it.Payload, "an empty payload is no tombstone")
	require.Same(t, small, it.page)

	full := &page{arena: make([]byte, 0, 1000)}
	full.fill(10, 10, 90)
	require.Same(t, full, full.fit(), "a page that is well filled is not copied")
}

func nobody() int { return 0 }
