package relaytest

import (
	"sync"

	"github.com/tandem-outbox/tandem/relay"
)

// there: the relay saves that an event is done as soon as Publish says so.
func there(b *bench) {
	topic := b.topic(1)
	var all []*relay.Event
	for i := range 10 {
		batch := events(1 + i%3)
		b.publish(topic, 0, copies(batch)...)
		all = append(all, batch...)
		b.requireRecords(topic, 0, all)
	}
}

func ordered(b *bench) {
	topic := b.topic(1)
	var all []*relay.Event
	for i := range 20 {
		batch := events(1 + 7*i%23)
		b.publish(topic, 0, copies(batch)...)
		all = append(all, batch...)
	}
	b.requireRecords(topic, 0, all)
}

// apart: which partition it is, the relay decides; what an event itself asks for
// was looked at before.
func apart(b *bench) {
	topics := []string{b.topic(3), b.topic(1)}
	want := map[lane][]*relay.Event{}
	for i := range 12 {
		at := lane{topics[0], i % 3}
		if i%4 == 3 {
			at = lane{topics[1], 0}
		}
		e := event(i)
		e.Topic, e.Key = at.topic, []byte("the same key")
		b.publish(at.topic, at.partition, copies([]*relay.Event{e})...)
		want[at] = append(want[at], e)
	}
	for at, all := range want {
		b.requireRecords(at.topic, at.partition, all)
	}
}

func beyond(b *bench) {
	topic := b.topic(2)
	if err := b.publisher.Publish(b.Context(), topic, 2, events(1)); err == nil {
		b.Errorf("Publish to partition 2 of a topic that has 0 and 1 returned nil")
	} else {
		b.verdict(err)
	}
	for partition := range 2 {
		b.requireRecords(topic, partition, nil)
	}
}

// atOnce is how the relay works: a goroutine for each partition, and one for each
// topic that asks how many there are.
func atOnce(b *bench) {
	const partitions, calls = 4, 15
	topics := []string{b.topic(partitions), b.topic(partitions)}
	var mu sync.Mutex
	want := map[lane][]*relay.Event{}
	var all sync.WaitGroup
	for _, topic := range topics {
		for partition := range partitions {
			all.Go(func() {
				at := lane{topic, partition}
				for i := range calls {
					batch := events(1 + i%4)
					if err := b.publisher.Publish(b.Context(), topic, partition, copies(batch)); err != nil {
						b.Errorf("Publish to %s/%d, with others at the same time, failed: %v", topic, partition, err)
						return
					}
					mu.Lock()
					want[at] = append(want[at], batch...)
					mu.Unlock()
				}
			})
		}
		all.Go(func() {
			for range calls {
				if n, err := b.publisher.Partitions(b.Context(), topic); err != nil || n != partitions {
					b.Errorf("Partitions, with others at the same time, says %d and %v; the topic has %d", n, err, partitions)
				}
			}
		})
	}
	all.Wait()
	for at, events := range want {
		b.requireRecords(at.topic, at.partition, events)
	}
}

// repeated: after an answer that was lost the relay sends the same events again.
// They may be there twice then or, where the broker knows them, once.
func repeated(b *bench) {
	topic := b.topic(1)
	first, second := events(5), events(5)
	b.publish(topic, 0, copies(first)...)
	b.publish(topic, 0, copies(first)...)
	b.publish(topic, 0, copies(second)...)
	b.compare(topic, 0, append(first, second...), firsts(b.Read(b, topic, 0)))
}

// firsts leaves out what repeats an earlier record.
func firsts(records []Record) (out []Record) {
	seen := map[string]bool{}
	for _, r := range records {
		if !seen[r.ID] {
			seen[r.ID] = true
			out = append(out, r)
		}
	}
	return out
}
