package inbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// Router hands messages to handlers by their type (header ce_type). It is set up
// first, by one goroutine; its Handler is then used by any number of them.
//
// A message of a type that nobody handles is parked as "unknown type": it may be
// a newer producer's, and waits for the version of the service that knows it. See
// [Router.Unknown] to decide otherwise, and [Ignore] for types that are of no
// interest.
type Router struct {
	handlers map[string]Handler
	unknown  Handler // nil until Unknown
	inUse    bool
}

// NewRouter returns a Router that knows no type.
func NewRouter() *Router { return &Router{handlers: map[string]Handler{}} }

// Handle registers the handler of a type, which is compared exactly. It panics,
// since it is the program that is wrong: on an empty type, a nil handler, a type
// that has a handler, and after Handler was called.
func (r *Router) Handle(eventType string, h Handler) {
	r.mustBeOpen("Handle")
	if eventType == "" {
		panic("inbox: Router.Handle: the type is empty; messages without one go to Router.Unknown")
	}
	if h == nil {
		panic(fmt.Sprintf("inbox: Router.Handle: the handler of type %q is nil", eventType))
	}
	if _, twice := r.handlers[eventType]; twice {
		panic(fmt.Sprintf("inbox: Router.Handle: type %q has a handler already", eventType))
	}
	r.handlers[eventType] = h
}

// On registers a typed handler of a type: Handle with [Typed].
func On[T any](r *Router, eventType string, codec Codec[T], handle TypedHandler[T], options ...TypedOption) {
	r.Handle(eventType, Typed(codec, handle, options...))
}

// Unknown gives messages that have no type, or one that nobody handles, to h
// instead of parking them. It panics where Handle would.
func (r *Router) Unknown(h Handler) {
	r.mustBeOpen("Unknown")
	if h == nil {
		panic("inbox: Router.Unknown: the handler is nil")
	}
	if r.unknown != nil {
		panic("inbox: Router.Unknown: there is a handler already")
	}
	r.unknown = h
}

// Handler returns the handler for a runner, and ends the setting up.
func (r *Router) Handler() Handler {
	r.inUse = true
	unknown := r.unknown
	if unknown == nil {
		unknown = parkUnknown
	}
	return func(ctx context.Context, tx pgx.Tx, m Message) error {
		if h, known := r.handlers[m.Type]; known {
			return h(ctx, tx, m)
		}
		return unknown(ctx, tx, m)
	}
}

func (r *Router) mustBeOpen(method string) {
	if r.inUse {
		panic("inbox: Router." + method + " after Router.Handler: what is registered now would race with messages; register everything first")
	}
}

func parkUnknown(_ context.Context, _ pgx.Tx, m Message) error {
	return ParkAs(outcome.UnknownType, fmt.Errorf("inbox: nobody handles messages of type %s (topic %s): register a handler for it, or decide by Router.Unknown",
		ids.Quoted(m.Type), ids.Quoted(m.Topic)))
}

// Ignore is a Handler that does nothing: the message counts as processed.
func Ignore(context.Context, pgx.Tx, Message) error { return nil }
