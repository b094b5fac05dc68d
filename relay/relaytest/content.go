package relaytest

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/tandem-outbox/tandem/relay"
)

// odd are events of all sorts: what is nil, what is empty, what is no text.
func odd() []*relay.Event {
	all := events(9)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	all[1].Key = nil
	all[2].Payload = nil // a tombstone
	all[3].Payload = []byte{}
	all[4].Payload = every
	all[5].Key = []byte("schlüssel \n\t\"")
	all[6].Headers = nil
	all[7].Headers, _ = json.Marshal(map[string]string{
		"empty": "", "content-type": "application/json", "quoted \"\\": "zeile\n zwei\u2028\U0001F600",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}) // of strings: no error
	all[8].Type = "" // the topic's name
	return all
}

func arrives(b *bench) {
	topic := b.topic(1)
	all := odd()
	b.publish(topic, 0, copies(all)...)
	b.requireRecords(topic, 0, all)
}

// untouched: the relay may send the same events again, and looks at them when they
// are acknowledged.
func untouched(b *bench) {
	topic := b.topic(1)
	given := odd()
	before, structs := copies(given), slices.Clone(given)
	b.publish(topic, 0, given...)
	for i, e := range before {
		g := given[i]
		switch {
		case g != structs[i]:
			b.Errorf("event %d of the slice is another one after Publish", i)
		case g.ID != e.ID || g.Topic != e.Topic || g.Type != e.Type || g.Partition != e.Partition || g.Position != e.Position ||
			!g.CreatedAt.Equal(e.CreatedAt) || !same(g.Key, e.Key) || !same(g.Headers, e.Headers) || !same(g.Payload, e.Payload):
			b.Errorf("event %d was changed by Publish", i)
		}
	}
}

// letsGo: the slices are the relay's, which fills them anew for its next page.
func letsGo(b *bench) {
	topic := b.topic(1)
	all := events(20)
	for _, e := range all {
		given := copies([]*relay.Event{e})
		b.publish(topic, 0, given...)
		scribble(given)
	}
	b.requireRecords(topic, 0, all)
}

// scribble writes over everything that an event has.
func scribble(given []*relay.Event) {
	for _, e := range given {
		for _, s := range [][]byte{e.Key, e.Headers, e.Payload} {
			copy(s, bytes.Repeat([]byte{'!'}, len(s)))
		}
		*e = relay.Event{Type: "scribbled"}
	}
	clear(given)
}
