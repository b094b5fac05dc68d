package relay

import (
	"context"
	"errors"
	"time"
)

// Event is one event of the log. Its byte slices belong to the relay and may be
// read until the Publish call that they were given to returns.
type Event struct {
	Position  int64     // place in the log
	ID        [16]byte  // the event's UUID
	CreatedAt time.Time // when the writer's INSERT ran, by the database clock
	Topic     string
	Partition int32  // the event's own choice, -1 where it has none
	Type      string // empty means the topic's name
	Key       []byte // nil where there is no key
	Headers   []byte // a JSON object of strings, nil where there are none
	Payload   []byte // nil is a null value, a tombstone

	Replay int64 // the request that asked for it to be sent again on purpose, else 0
}

// Publisher sends events to a broker. Package relaykafka has the one for Kafka.
// Its methods are called by many goroutines at a time.
type Publisher interface {
	// Partitions returns how many partitions topic has. The relay asks again
	// from time to time; the answer may come from a cache.
	Partitions(ctx context.Context, topic string) (int, error)

	// Publish appends events to one partition in the order given and returns
	// nil only when all of them are acknowledged by all in-sync replicas. The
	// relay has at most one call for a partition under way. After any error
	// the relay must assume that some, none or all have been appended.
	// Errors are PublishErrors where the broker's answer is understood;
	// every other error means that the outcome is unknown and is retried.
	Publish(ctx context.Context, topic string, partition int, events []*Event) error
}

// Verdict says what the relay does about a failed Publish.
type Verdict int

const (
	// Retry sends the same events again after a pause, in place: no answer,
	// a leader election, too few replicas. Unknown errors are retried too.
	Retry Verdict = iota
	// RefusedRecords means that the broker will never take the batch as it is.
	// The relay splits it until the record that is at fault stands alone.
	RefusedRecords
	// RefusedTopic means that nothing can be written to the topic as things
	// are: it does not exist, or this client may not write to it.
	RefusedTopic
)

// PublishError is a Publisher's error together with what it means.
type PublishError struct {
	Verdict Verdict
	Hint    string // what an operator can do about it; may be empty
	Err     error
}

func (e *PublishError) Error() string {
	if e.Hint == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + " (" + e.Hint + ")"
}

func (e *PublishError) Unwrap() error { return e.Err }

// verdict returns what err means for the batch it was returned for.
func verdict(err error) Verdict {
	var p *PublishError
	if errors.As(err, &p) {
		return p.Verdict
	}
	return Retry
}
