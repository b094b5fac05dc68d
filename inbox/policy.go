package inbox

import (
	"context"
	"fmt"

	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// Policy is what [Once] does with an id that cannot be proved new: a UUIDv7 made
// before the time that the inbox remembers, or in a future for which it has no
// storage yet.
type Policy string

const (
	// Refuse is the default: an error, [ErrTooOld] or [ErrTooNew].
	Refuse Policy = "refuse"
	// Process answers true the first time such an id is seen, and keeps it apart
	// (tandem.inbox_late, by default for 90 days), where it can be counted and is
	// known when it comes again. What was processed and forgotten before that is
	// processed a second time: choose it where a message lost is worse than one
	// doubled.
	Process Policy = "process"
)

const policySQL = `SELECT tandem.set_inbox_policy($1::text, $2::text)`

// SetPolicy records what becomes of ids that cannot be proved new, for everybody
// who asks for consumer: in Go, in SQL and from Kafka, from now on. An inboxkafka
// consumer of that name records its own at its start. The error is an [*IDError]
// where the name is at fault, or says what else is.
func SetPolicy(ctx context.Context, db DB, consumer string, p Policy) error {
	return standard.SetPolicy(ctx, db, consumer, p)
}

// SetPolicy is [SetPolicy] in this inbox.
func (i *Inbox) SetPolicy(ctx context.Context, db DB, consumer string, p Policy) error {
	if isNilDB(db) {
		return errNoDatabase
	}
	if problem := ids.Problem(ids.ConsumerMax, consumer); problem != "" {
		return &IDError{Consumer: consumer, Field: "consumer", Reason: ErrInvalid, Detail: problem}
	}
	if p != Refuse && p != Process {
		return fmt.Errorf("inbox: consumer %s: the policy is %q, it must be %q or %q", ids.Quoted(consumer), p, Refuse, Process)
	}
	if err := db.QueryRow(ctx, schema.Rewrite(policySQL, i.schema), consumer, string(p)).Scan(nil); err != nil {
		return fmt.Errorf("inbox: record the policy of consumer %s: %w", ids.Quoted(consumer), err)
	}
	return nil
}
