package relaytest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tandem-outbox/tandem/internal/testfailure"
	"github.com/tandem-outbox/tandem/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onMemory is a target of which publishers differ from a Memory by what wrong makes
// of it.
func onMemory(wrong func(m *Memory) relay.Publisher) Target {
	var m *Memory
	return Target{
		New: func(testing.TB) relay.Publisher {
			m = NewMemory()
			m.SetPartitions("", 0)
			return wrong(m)
		},
		CreateTopic: func(_ testing.TB, topic string, partitions int) { m.SetPartitions(topic, partitions) },
		Read: func(_ testing.TB, topic string, partition int) (out []Record) {
			for _, r := range m.Records() {
				if r.Topic == topic && r.Partition == partition {
					out = append(out, r)
				}
			}
			return out
		},
		Source:   Source,
		TooLarge: maxRecordBytes + 1,
	}
}

func TestMemory(t *testing.T) {
	TestPublisher(t, onMemory(func(m *Memory) relay.Publisher { return m }))
}

// wrapped is a Memory with other methods.
type wrapped struct {
	*Memory
	publish    func(ctx context.Context, topic string, partition int, events []*relay.Event) error
	partitions func(ctx context.Context, topic string) (int, error)
}

func (w *wrapped) Publish(ctx context.Context, topic string, partition int, events []*relay.Event) error {
	if w.publish == nil {
		return w.Memory.Publish(ctx, topic, partition, events)
	}
	return w.publish(ctx, topic, partition, events)
}

func (w *wrapped) Partitions(ctx context.Context, topic string) (int, error) {
	if w.partitions == nil {
		return w.Memory.Partitions(ctx, topic)
	}
	return w.partitions(ctx, topic)
}

// each changes each event on its way.
func each(change func(e *relay.Event)) func(m *Memory) relay.Publisher {
	return func(m *Memory) relay.Publisher {
		return &wrapped{Memory: m, publish: func(ctx context.Context, topic string, partition int, events []*relay.Event) error {
			given := copies(events)
			for _, e := range given {
				change(e)
			}
			return m.Publish(ctx, topic, partition, given)
		}}
	}
}

// publishing is a publisher that is wrong in Publish.
func publishing(f func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error) func(m *Memory) relay.Publisher {
	return func(m *Memory) relay.Publisher {
		return &wrapped{Memory: m, publish: func(ctx context.Context, topic string, partition int, events []*relay.Event) error {
			return f(m, ctx, topic, partition, events)
		}}
	}
}

// wrongs are publishers that are wrong in one way each, and the promise that finds
// it.
var wrongs = []struct {
	name    string
	make    func(m *Memory) relay.Publisher
	foundBy string
}{
	{"no key becomes an empty one", each(func(e *relay.Event) { e.Key = append([]byte{}, e.Key...) }), "what is given arrives"},
	{"a tombstone becomes empty", each(func(e *relay.Event) { e.Payload = append([]byte{}, e.Payload...) }), "what is given arrives"},
	{"an empty payload becomes a tombstone", each(func(e *relay.Event) {
		if len(e.Payload) == 0 {
			e.Payload = nil
		}
	}), "what is given arrives"},
	{"headers are left out", each(func(e *relay.Event) { e.Headers = nil }), "what is given arrives"},
	{"the type is left out", each(func(e *relay.Event) { e.Type = "" }), "what is given arrives"},
	{"the time is that of sending", each(func(e *relay.Event) { e.CreatedAt = time.Now() }), "what is given arrives"},
	{"another id", each(func(e *relay.Event) { e.ID[3]++ }), "what is given arrives"},
	{"payloads are taken for text", each(func(e *relay.Event) {
		if e.Payload != nil {
			e.Payload = []byte(string([]rune(string(e.Payload))))
		}
	}), "what is given arrives"},
	{"changes the events that it was given", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		err := m.Publish(ctx, topic, partition, events)
		for _, e := range events {
			e.Topic = topic
		}
		return err
	}), "events stay as they are"},
	{"sorts the slice that it was given", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		err := m.Publish(ctx, topic, partition, events)
		if last := len(events) - 1; last > 0 {
			events[0], events[last] = events[last], events[0]
		}
		return err
	}), "events stay as they are"},
	{"reads the events later", later(false), "slices are not used afterwards"},
	{"acknowledges before it sends", later(true), "an acknowledged event is there"},
	{"the last of a batch is lost", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		return m.Publish(ctx, topic, partition, events[:max(1, len(events)-1)])
	}), "an acknowledged event is there"},
	{"a batch is sent from its end", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		given := copies(events)
		for i, e := range given {
			given[i], given[len(given)-1-i] = given[len(given)-1-i], e
			if i >= len(given)/2-1 {
				break
			}
		}
		return m.Publish(ctx, topic, partition, given)
	}), "a partition keeps its order"},
	{"everything is in partition 0", publishing(func(m *Memory, ctx context.Context, topic string, _ int, events []*relay.Event) error {
		return m.Publish(ctx, topic, 0, events)
	}), "each partition gets its own"},
	{"partitions that do not exist are counted modulo", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		if n, err := m.Partitions(ctx, topic); err == nil {
			partition %= n
		}
		return m.Publish(ctx, topic, partition, events)
	}), "a partition that does not exist"},
	{"calls get into each other's way", tangled, "many goroutines at once"},
	{"a repetition goes to the end of the queue", displaced, "a repeated request keeps the order"},
	{"a missing topic is made", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		if _, err := m.Partitions(ctx, topic); err != nil {
			m.SetPartitions(topic, 1)
		}
		return m.Publish(ctx, topic, partition, events)
	}), "a missing topic is refused, and noticed when it is made"},
	{"a missing topic is an error like others", func(m *Memory) relay.Publisher {
		return &wrapped{Memory: m, partitions: func(ctx context.Context, topic string) (int, error) {
			n, err := m.Partitions(ctx, topic)
			if err != nil {
				err = errors.New(err.Error())
			}
			return n, err
		}}
	}, "a missing topic is refused, and noticed when it is made"},
	{"a missing topic is a refusal of its records", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		err := m.Publish(ctx, topic, partition, events)
		if err != nil {
			err = &relay.PublishError{Verdict: relay.RefusedRecords, Err: err}
		}
		return err
	}), "a missing topic is refused, and noticed when it is made"},
	{"a refusal that says nothing", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		if err := m.Publish(ctx, topic, partition, events); err != nil {
			return &relay.PublishError{Verdict: relay.RefusedTopic}
		}
		return nil
	}), "a missing topic is refused, and noticed when it is made"},
	{"what is too large is dropped", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		err := m.Publish(ctx, topic, partition, events)
		if refused, ok := errors.AsType[*relay.PublishError](err); ok && refused.Verdict == relay.RefusedRecords {
			return nil
		}
		return err
	}), "a record that is too large is refused"},
	{"what is too large is an error like others", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		err := m.Publish(ctx, topic, partition, events)
		if refused, ok := errors.AsType[*relay.PublishError](err); ok && refused.Verdict == relay.RefusedRecords {
			return refused.Err
		}
		return err
	}), "a record that is too large is refused"},
	{"a context that has ended is not looked at", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		return m.Publish(context.WithoutCancel(ctx), topic, partition, events)
	}), "nothing is sent when the context has ended"},
	{"is sent although the context has ended", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		if err := m.Publish(context.WithoutCancel(ctx), topic, partition, events); err != nil {
			return err
		}
		return ctx.Err()
	}), "nothing is sent when the context has ended"},
	{"a context that has ended is a refusal", publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		err := m.Publish(ctx, topic, partition, events)
		if ctx.Err() != nil {
			err = &relay.PublishError{Verdict: relay.RefusedRecords, Err: err}
		}
		return err
	}), "nothing is sent when the context has ended"},
	{"does not recover from a context that ends", func(m *Memory) relay.Publisher {
		var broken atomic.Bool
		return publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
			switch {
			case ctx.Err() != nil:
				broken.Store(true)
				return ctx.Err()
			case broken.Load():
				return nil // into nowhere
			}
			return m.Publish(ctx, topic, partition, events)
		})(m)
	}, "the context ends during calls"},
}

// later hands events over to the next call, or gives the broker what the slices
// have then.
func later(lazy bool) func(m *Memory) relay.Publisher {
	return func(m *Memory) relay.Publisher {
		if lazy {
			var before func()
			return publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
				if before != nil {
					before()
				}
				given := copies(events)
				before = func() { _ = m.Publish(ctx, topic, partition, given) }
				return nil
			})(m)
		}
		return publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
			given := copies(events)
			err := m.Publish(ctx, topic, partition, given)
			m.mu.Lock()
			defer m.mu.Unlock()
			for i, e := range events { // what it was given, not a copy
				m.records[len(m.records)-len(events)+i].Payload = e.Payload
			}
			return err
		})(m)
	}
}

// tangled forgets where to when another call comes before it is done.
func tangled(m *Memory) relay.Publisher {
	var mu sync.Mutex
	var last lane
	var under int
	return publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		mu.Lock()
		last = lane{topic, partition}
		under++
		mu.Unlock()
		<-time.After(5 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		under--
		return m.Publish(ctx, last.topic, last.partition, events)
	})(m)
}

// displaced takes what it has seen before for done with, and sends it with the next
// batch, behind it.
func displaced(m *Memory) relay.Publisher {
	seen := map[[16]byte]bool{}
	var held []*relay.Event
	return publishing(func(m *Memory, ctx context.Context, topic string, partition int, events []*relay.Event) error {
		if !seen[events[0].ID] && len(events) == 5 && held == nil {
			seen[events[0].ID] = true
			held = copies(events)
			return nil
		}
		err := m.Publish(ctx, topic, partition, append(copies(events), held...))
		held = nil
		return err
	})(m)
}

// The suite finds each of them, and by the promise that is broken.
func TestWrongPublishersAreFound(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, w := range wrongs {
		found[w.foundBy] = true
		t.Run(w.name, func(t *testing.T) {
			for _, c := range checks {
				if c.name != w.foundBy {
					continue
				}
				said := testfailure.Of(t, func(t testing.TB) { c.run(newBench(t, onMemory(w.make))) })
				require.NotEmpty(t, said)
				t.Log(said)
			}
		})
	}
	for _, c := range checks {
		require.True(t, found[c.name], "nobody breaks: %s", c.name)
	}
}
