package relaytest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandem-outbox/tandem/relay"
)

// patience is how long a publisher may take until it notices a topic that was
// made, and for all that one check asks of it.
const patience = time.Minute

// Target is a publisher to be tested, and how to see what it has done.
type Target struct {
	// New returns a publisher. What it needs closed, it leaves to t.Cleanup.
	New func(t testing.TB) relay.Publisher

	// CreateTopic makes a topic of that many partitions. The name is new each time.
	CreateTopic func(t testing.TB, topic string, partitions int)

	// Read returns what is in a partition at that moment, in its order. What the
	// broker has no place for stays empty, and fails the test: a receiver would
	// lack it too.
	Read func(t testing.TB, topic string, partition int) []Record

	// Source is what Source of every record has to be. Empty is not looked at.
	Source string

	// TooLarge is the size of a payload that the broker refuses. 0 is for brokers
	// that take everything; then refusals of records are not tested.
	TooLarge int
}

// TestPublisher tests that a publisher keeps what [relay.Publisher] promises. Each
// promise is a subtest. Run it with the race detector: one of the promises is that
// nothing is read after Publish has returned.
func TestPublisher(t *testing.T, target Target) {
	t.Helper()
	if target.New == nil || target.CreateTopic == nil || target.Read == nil {
		t.Fatal("relaytest: Target.New, CreateTopic and Read must be set")
	}
	for _, c := range checks {
		if c.sized && target.TooLarge == 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(newBench(t, target)) })
	}
}

// check is one promise.
type check struct {
	name  string
	run   func(b *bench)
	sized bool // needs Target.TooLarge
}

var checks = []check{
	{name: "what is given arrives", run: arrives},
	{name: "events stay as they are", run: untouched},
	{name: "slices are not used afterwards", run: letsGo},
	{name: "an acknowledged event is there", run: there},
	{name: "a partition keeps its order", run: ordered},
	{name: "each partition gets its own", run: apart},
	{name: "a partition that does not exist", run: beyond},
	{name: "many goroutines at once", run: atOnce},
	{name: "a repeated request keeps the order", run: repeated},
	{name: "a missing topic is refused, and noticed when it is made", run: missingTopic},
	{name: "a record that is too large is refused", run: tooLarge, sized: true},
	{name: "nothing is sent when the context has ended", run: ended},
	{name: "the context ends during calls", run: interrupted},
}

// bench is a publisher in one check.
type bench struct {
	testing.TB
	Target
	publisher relay.Publisher
}

func newBench(t testing.TB, target Target) *bench {
	return &bench{t, target, target.New(t)}
}

// topic makes a topic and waits until the publisher knows it: it may have looked a
// moment too early.
func (b *bench) topic(partitions int) string {
	b.Helper()
	name := newTopic()
	b.CreateTopic(b, name, partitions)
	b.await("a topic of "+fmt.Sprint(partitions)+" partitions that exists", func() error {
		n, err := b.publisher.Partitions(b.Context(), name)
		if err == nil && n != partitions {
			err = fmt.Errorf("Partitions says %d", n)
		}
		return err
	})
	return name
}

func newTopic() string { return "relaytest-" + strings.ToLower(rand.Text()) }

// await repeats try until it succeeds.
func (b *bench) await(what string, try func() error) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: still an error after %v: %v", what, patience, err)
		}
		<-tick.C
	}
}

// publish publishes, and takes the error for a failure.
func (b *bench) publish(topic string, partition int, events ...*relay.Event) {
	b.Helper()
	if err := b.publisher.Publish(b.Context(), topic, partition, events); err != nil {
		b.Fatalf("Publish of %d events to %s/%d failed: %v", len(events), topic, partition, err)
	}
}

// requireRecords compares what is in a partition with events.
func (b *bench) requireRecords(topic string, partition int, want []*relay.Event) {
	b.Helper()
	b.compare(topic, partition, want, b.Read(b, topic, partition))
}

func (b *bench) compare(topic string, partition int, want []*relay.Event, got []Record) {
	b.Helper()
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			b.Fatalf("%s/%d has %d records, %d were acknowledged; the first that is missing: id %s", topic, partition, len(got), len(want), text(want[i].ID))
		case i >= len(want):
			b.Fatalf("%s/%d has %d records, %d were published; too much: %v", topic, partition, len(got), len(want), got[i])
		}
		for _, difference := range b.differences(topic, want[i], got[i]) {
			b.Errorf("record %d of %s/%d: %s", i, topic, partition, difference)
		}
		if b.Failed() {
			b.FailNow()
		}
	}
}

// differences says how a record is not what its event asks for.
func (b *bench) differences(topic string, e *relay.Event, r Record) (all []string) {
	differ := func(what string, got, want any) {
		all = append(all, fmt.Sprintf("%s is %s, it must be %s", what, shown(got), shown(want)))
	}
	if r.ID != text(e.ID) {
		differ("the id", r.ID, text(e.ID))
		return all // of another event
	}
	want, err := record(topic, 0, e)
	if err != nil {
		b.Fatal(err)
	}
	if r.Type != want.Type {
		differ("the type", r.Type, want.Type)
	}
	if b.Source != "" && r.Source != b.Source {
		differ("the source", r.Source, b.Source)
	}
	if at := want.Time.Truncate(time.Microsecond); !r.Time.Truncate(time.Microsecond).Equal(at) {
		differ("the time", r.Time, at)
	}
	if !same(r.Key, want.Key) {
		differ("the key", r.Key, want.Key)
	}
	if !same(r.Payload, want.Payload) {
		differ("the payload", r.Payload, want.Payload)
	}
	for name, value := range want.Headers {
		if got, there := r.Headers[name]; !there {
			all = append(all, fmt.Sprintf("header %q is missing", name))
		} else if got != value {
			differ(fmt.Sprintf("header %q", name), got, value)
		}
	}
	for name := range r.Headers {
		if _, asked := want.Headers[name]; !asked {
			all = append(all, fmt.Sprintf("header %q is there, the event has none such", name))
		}
	}
	return all
}

// same tells nil, which is a null, from empty.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

func shown(v any) string {
	if b, is := v.([]byte); is {
		if b == nil {
			return "null"
		}
		return short(b)
	}
	return fmt.Sprintf("%q", fmt.Sprint(v))
}

// event makes an event that has something of everything.
func event(n int) *relay.Event {
	e := &relay.Event{
		Position: int64(n), CreatedAt: time.Date(2026, 2, 3, 4, 5, 6, 789_012_000, time.UTC).Add(time.Duration(n) * time.Millisecond),
		Partition: -1, Type: "order.placed", Key: fmt.Appendf(nil, "key %d", n%3), Payload: fmt.Appendf(nil, `{"n": %d}`, n),
	}
	e.Headers, _ = json.Marshal(map[string]string{"n": fmt.Sprint(n)}) // of strings: no error
	_, _ = rand.Read(e.ID[:])                                          // never fails
	return e
}

func events(n int) []*relay.Event {
	all := make([]*relay.Event, n)
	for i := range all {
		all[i] = event(i)
	}
	return all
}

// copies are what the publisher gets where the event itself is needed later.
func copies(all []*relay.Event) []*relay.Event {
	out := make([]*relay.Event, len(all))
	for i, e := range all {
		c := *e
		c.Key, c.Headers, c.Payload = slices.Clone(e.Key), slices.Clone(e.Headers), slices.Clone(e.Payload)
		out[i] = &c
	}
	return out
}

// verdict is what the relay will understand; Retry for an error that says nothing.
func (b *bench) verdict(err error) relay.Verdict {
	b.Helper()
	var p *relay.PublishError
	if !errors.As(err, &p) {
		return relay.Retry
	}
	if p.Err == nil {
		b.Fatal("a PublishError without Err: it cannot be printed, and says nothing")
	}
	return p.Verdict
}
