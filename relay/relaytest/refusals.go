package relaytest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tandem-outbox/tandem/relay"
)

// missingTopic: such events wait, and the relay asks again every 5 s.
func missingTopic(b *bench) {
	topic := newTopic()
	requireRefused := func(what string, err error) {
		b.Helper()
		switch v := b.verdict(err); {
		case err == nil:
			b.Fatalf("%s of a topic that does not exist succeeded", what)
		case v != relay.RefusedTopic:
			b.Fatalf("%s of a topic that does not exist must be a PublishError with RefusedTopic, it is %v: %v", what, name(v), err)
		}
	}
	_, err := b.publisher.Partitions(b.Context(), topic)
	requireRefused("Partitions", err)
	requireRefused("Publish", b.publisher.Publish(b.Context(), topic, 0, events(1)))
	_, err = b.publisher.Partitions(b.Context(), topic)
	requireRefused("Partitions after a Publish", err)

	b.CreateTopic(b, topic, 2)
	b.await("a topic that was missing and is there now", func() error {
		n, err := b.publisher.Partitions(b.Context(), topic)
		if err == nil && n != 2 {
			err = fmt.Errorf("Partitions says %d, the topic has 2", n)
		}
		return err
	})
	all := events(3)
	b.publish(topic, 1, copies(all)...)
	b.requireRecords(topic, 1, all)
}

// tooLarge: the relay splits a batch that is refused for a record's sake, and parks
// the record when it stands alone; the others go on.
func tooLarge(b *bench) {
	topic := b.topic(1)
	all := events(3)
	large := event(3)
	large.Payload = bytes.Repeat([]byte("x"), b.TooLarge)
	err := b.publisher.Publish(b.Context(), topic, 0, copies([]*relay.Event{large}))
	switch v := b.verdict(err); {
	case err == nil:
		b.Fatalf("a payload of %d bytes (Target.TooLarge) was taken", b.TooLarge)
	case v != relay.RefusedRecords:
		b.Fatalf("a payload of %d bytes must be refused by a PublishError with RefusedRecords, it is %v: %v", b.TooLarge, name(v), err)
	}
	err = b.publisher.Publish(b.Context(), topic, 0, copies([]*relay.Event{all[0], large}))
	switch v := b.verdict(err); {
	case err == nil:
		b.Fatal("a batch with a record that is too large was taken")
	case v != relay.RefusedRecords:
		b.Fatalf("a batch with a record that is too large must be RefusedRecords, it is %v: %v", name(v), err)
	}
	b.publish(topic, 0, copies(all)...)
	b.compare(topic, 0, all, firsts(b.Read(b, topic, 0)))
}

// ended: a relay whose lease is over ends the context, and nothing may be sent then.
func ended(b *bench) {
	topic := b.topic(1)
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	for range 3 {
		err := b.publisher.Publish(ctx, topic, 0, events(1))
		if err == nil {
			b.Fatal("Publish returned nil though its context had ended before")
		}
		if v := b.verdict(err); v != relay.Retry {
			b.Fatalf("a context that has ended is no refusal of the broker's, Publish says %v: %v", name(v), err)
		}
	}
	all := events(2)
	b.publish(topic, 0, copies(all)...)
	b.requireRecords(topic, 0, all)
}

// interrupted ends the context at some moment of a call. What becomes of the events
// is not known, unless Publish says so; the relay sends them again.
func interrupted(b *bench) {
	topic := b.topic(1)
	var all []*relay.Event
	for i := range 20 {
		batch := events(1 + i%3)
		ctx, cancel := context.WithCancel(b.Context())
		called := make(chan struct{})
		go func() {
			<-called
			cancel()
		}()
		given := copies(batch)
		if i%5 == 4 {
			cancel() // at the first of them, for sure
		}
		close(called)
		err := b.publisher.Publish(ctx, topic, 0, given)
		cancel()
		scribble(given) // they are the relay's again, after an error too
		all = append(all, batch...)
		if err == nil {
			b.compare(topic, 0, all, firsts(b.Read(b, topic, 0)))
			continue
		}
		if v := b.verdict(err); v != relay.Retry {
			b.Fatalf("a context that ends is no refusal of the broker's, Publish says %v: %v", name(v), err)
		}
		b.await("a publisher whose last call was given up", func() error {
			return b.publisher.Publish(b.Context(), topic, 0, copies(batch))
		})
	}
	b.compare(topic, 0, all, firsts(b.Read(b, topic, 0)))
}

// name is a verdict for people.
func name(v relay.Verdict) string {
	switch v {
	case relay.RefusedRecords:
		return "RefusedRecords"
	case relay.RefusedTopic:
		return "RefusedTopic"
	}
	return "an error to be retried"
}
