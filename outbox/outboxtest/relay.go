package outboxtest

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaytest"
)

// waitTimeout is long for a machine that is busy, and short for a person who waits.
const waitTimeout = time.Minute

// Records is what a [Relay] publishes. What the broker does wrong is told to the
// Memory, also while the relay runs.
type Records struct {
	*relaytest.Memory
	running context.Context // ends with the relay, its cause being why
}

// Relay runs a relay for the database until the test ends, and waits for it then.
// Where the relay ends by itself, or has an error, the test fails. Each of change may
// change how the relay is configured; the publisher, if it is given, is a
// [*relaytest.Memory].
func Relay(t testing.TB, databaseURL string, change ...func(*relay.Config)) *Records {
	t.Helper()
	r, memory := newRelay(t, databaseURL, change)
	ctx, stop := context.WithCancel(context.Background())
	running, ended := context.WithCancelCause(context.Background())
	go func() {
		err := r.Run(ctx)
		if err == nil && ctx.Err() == nil {
			err = fmt.Errorf("it ended before the test did") // UntilEmpty
		}
		if err != nil {
			t.Errorf("outboxtest: the relay: %v", err)
		}
		ended(err) // last: whoever waits may end the test. context.Canceled where err is nil
	}()
	t.Cleanup(func() {
		stop()
		<-running.Done()
	})
	return &Records{memory, running}
}

// Wait waits until n different events have been published since the relay began, and
// returns every record until then. Repetitions do not count. It fails the test after
// a minute.
func (r *Records) Wait(t testing.TB, n int) []relaytest.Record {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(r.running, waitTimeout, fmt.Errorf("that took longer than %v", waitTimeout))
	defer cancel()
	records, err := r.Memory.Wait(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// Drain runs a relay for the database until everything that was committed before is
// published, set aside or dropped, and returns what was published. See [Relay] for
// change.
func Drain(t testing.TB, databaseURL string, change ...func(*relay.Config)) []relaytest.Record {
	t.Helper()
	r, memory := newRelay(t, databaseURL, append(change, func(c *relay.Config) { c.UntilEmpty = true }))
	before := len(memory.Records())
	if err := r.Run(t.Context()); err != nil {
		t.Fatalf("outboxtest: the relay: %v", err)
	}
	return memory.Records()[before:]
}

func newRelay(t testing.TB, databaseURL string, change []func(*relay.Config)) (*relay.Relay, *relaytest.Memory) {
	t.Helper()
	database, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		t.Fatalf("outboxtest: the database URL: %v", err) // pgx leaves the password out
	}
	c := relay.Config{
		Database: database, Publisher: relaytest.NewMemory(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range change {
		f(&c)
	}
	memory, is := c.Publisher.(*relaytest.Memory)
	if !is {
		t.Fatalf("outboxtest: the publisher is a %T, it must be a *relaytest.Memory", c.Publisher)
	}
	r, err := relay.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r, memory
}

// RequirePublished fails the test unless the records are just those of the events
// that are expected; those of a topic and key in this order. (Others have no order.)
// Repetitions are left out: a relay publishes at least once. AtMostOnce, NotBefore and
// Expires are not compared.
func RequirePublished(t testing.TB, records []relaytest.Record, want ...outbox.Event) {
	t.Helper()
	got := published(records)
	taken := make([]bool, len(got))
	missing := []string{}
	for _, keyed := range []bool{true, false} { // those that would take any key come last
		for i, w := range want {
			if (w.Key != "") == keyed && !take(got, taken, w) {
				missing = append(missing, fmt.Sprintf("expected event %d was not published, or not in its turn", i+1))
			}
		}
	}
	for i := range got {
		if !taken[i] {
			missing = append(missing, fmt.Sprintf("record %d is not expected, or not in its turn", i+1))
		}
	}
	if len(missing) > 0 {
		t.Fatal(report("other events were published than expected", got, want, missing))
	}
}

// take marks the first record that is as w wants it, unless an earlier one of its
// topic and key is still there.
func take(got []outbox.Event, taken []bool, w outbox.Event) bool {
	w.AtMostOnce, w.NotBefore, w.Expires = false, time.Time{}, time.Time{} // a record does not tell
	waiting := map[[2]string]bool{}
	for i, e := range got {
		at := [2]string{e.Topic, e.Key}
		if taken[i] || (e.Key != "" && waiting[at]) {
			continue
		}
		if len(differ(e, w)) == 0 {
			taken[i] = true
			return true
		}
		waiting[at] = true
	}
	return false
}

// published are the events of records, without repetitions.
func published(records []relaytest.Record) (events []outbox.Event) {
	seen := map[string]bool{}
	for _, r := range records {
		if seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		partition := int32(r.Partition)
		events = append(events, outbox.Event{
			ID: r.ID, Topic: r.Topic, Key: string(r.Key), Type: r.Type, Payload: r.Payload, Tombstone: r.Payload == nil,
			Headers: r.Headers, Partition: &partition,
		})
	}
	return events
}
