package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// Handler makes the effects of one message, all of them in tx, which a runner
// commits together with the message's id. It is called for messages that are
// new. What becomes of a message whose handler returns an error, the error may
// say: see [RetryAfter], [Park], [Skip] and [Stop]. Any other error, and a panic,
// is tried again with growing pauses, and parked when that does not help.
type Handler = func(ctx context.Context, tx pgx.Tx, m Message) error

// BatchHandler makes the effects of several messages at once, in their order. An
// error is one of the whole batch, which is then halved until the message that
// causes it stands alone; [FailedAt] spares that.
type BatchHandler = func(ctx context.Context, tx pgx.Tx, batch []Message) error

// RetryAfter asks for the message to be tried again after a pause, which counts
// as an attempt as any other. A pause of 0 is the runner's own.
func RetryAfter(pause time.Duration, err error) error {
	return &outcome.Error{Kind: outcome.Retry, After: max(pause, 0), Index: -1, Err: orUnnamed(err)}
}

// Park asks for the message to be kept for an operator now, because to try it
// again would not help.
func Park(err error) error {
	return &outcome.Error{Kind: outcome.Park, Index: -1, Err: orUnnamed(err)}
}

// ParkAs is [Park] with a reason of a word or two that operators select by, such
// as "unknown type".
func ParkAs(reason string, err error) error {
	return &outcome.Error{Kind: outcome.Park, Reason: reason, Index: -1, Err: orUnnamed(err)}
}

// Skip says that the message is not to be handled, and why. It counts as
// processed, without effects: what the handler has written is undone. The reason
// is kept (tandem.inbox_dropped) and counted. For messages that are simply not of
// interest, return nil: a Skip is a row, and after a handler that has used its
// transaction also a repetition of the batch.
func Skip(reason string) error {
	return &outcome.Error{Kind: outcome.Skip, Index: -1, Err: errors.New(reason)}
}

// Stop ends the runner with err. The message stays unprocessed and comes again.
func Stop(err error) error {
	return &outcome.Error{Kind: outcome.Stop, Index: -1, Err: orUnnamed(err)}
}

// FailedAt is for a [BatchHandler]: the message of that index has failed, with
// err, which may be one of the above.
func FailedAt(index int, err error) error {
	return &outcome.Error{Kind: outcome.Retry, Index: index, Err: orUnnamed(err)}
}

func orUnnamed(err error) error {
	if err == nil {
		return errors.New("the handler gave no reason")
	}
	return err
}
