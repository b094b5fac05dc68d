package inbox

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// TypedHandler is a [Handler] that gets the message decoded.
type TypedHandler[T any] = func(ctx context.Context, tx pgx.Tx, m Message, value T) error

// TypedOption changes what [Typed] does.
type TypedOption func(*typedOptions)

type typedOptions struct{ tombstone Handler }

// OnTombstone gives tombstones (messages with a null value), which have nothing to
// decode, to a handler of their own. Defaults to parking them.
func OnTombstone(h Handler) TypedOption {
	if h == nil {
		panic("inbox: OnTombstone: the handler is nil")
	}
	return func(o *typedOptions) { o.tombstone = h }
}

// Typed is a Handler that decodes each message and calls handle. A message that
// cannot be decoded is parked as "undecodable", its error being a [*DecodeError];
// a tombstone as "tombstone", unless there is an [OnTombstone]. A nil codec or
// handler panics at once.
func Typed[T any](codec Codec[T], handle TypedHandler[T], options ...TypedOption) Handler {
	if codec == nil || handle == nil {
		panic("inbox: Typed: the codec or the handler is nil")
	}
	var o typedOptions
	for _, option := range options {
		option(&o)
	}
	return func(ctx context.Context, tx pgx.Tx, m Message) error {
		if m.Value == nil && o.tombstone != nil {
			return o.tombstone(ctx, tx, m)
		}
		value, err := Decode(codec, m)
		if err != nil {
			return err
		}
		return handle(ctx, tx, m, value)
	}
}

// Decoded is a message of a batch and its value.
type Decoded[T any] struct {
	Message Message
	Value   T
}

// TypedBatch is a BatchHandler that decodes the messages and calls handle. What
// cannot be decoded, a tombstone too, is parked as by [Typed], before handle has
// seen anything of the batch; the rest is handled without it.
func TypedBatch[T any](codec Codec[T], handle func(ctx context.Context, tx pgx.Tx, batch []Decoded[T]) error) BatchHandler {
	if codec == nil || handle == nil {
		panic("inbox: TypedBatch: the codec or the handler is nil")
	}
	return func(ctx context.Context, tx pgx.Tx, batch []Message) error {
		decoded := make([]Decoded[T], len(batch))
		for i, m := range batch {
			value, err := Decode(codec, m)
			if err != nil {
				return FailedAt(i, err)
			}
			decoded[i] = Decoded[T]{m, value}
		}
		return handle(ctx, tx, decoded)
	}
}
