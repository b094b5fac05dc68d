package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// requireParked checks what a runner is asked for.
func requireParked(t *testing.T, reason string, err error) {
	t.Helper()
	require.Error(t, err)
	asked := outcome.Of(err)
	require.Equal(t, outcome.Park, asked.Kind, err)
	require.Equal(t, reason, asked.Reason, err)
}

func TestTyped(t *testing.T) {
	failure := errors.New("from the handler")
	var got []order
	h := inbox.Typed(inbox.JSON[order](), func(_ context.Context, _ pgx.Tx, m inbox.Message, o order) error {
		require.Equal(t, "m-1", m.ID)
		got = append(got, o)
		return failure
	})
	require.Equal(t, failure, h(t.Context(), nil, inbox.Message{ID: "m-1", Value: []byte(`{"id": "o-1"}`)}), "as it is")
	require.Equal(t, []order{{ID: "o-1"}}, got)

	err := h(t.Context(), nil, inbox.Message{ID: "m-2", Type: "order.placed", Value: []byte(`{`)})
	requireParked(t, outcome.Undecodable, err)
	var undecodable *inbox.DecodeError
	require.ErrorAs(t, err, &undecodable)
	require.Equal(t, "m-2", undecodable.MessageID)
	require.Equal(t, "order.placed", undecodable.Type)
	require.Equal(t, "inbox_test.order", undecodable.Into)
	require.Nil(t, undecodable.Stack)
	require.ErrorContains(t, err, `inbox: decode message "m-2" of type "order.placed" into inbox_test.order: unexpected EOF`)

	requireParked(t, outcome.Tombstone, h(t.Context(), nil, inbox.Message{ID: "m-3"}))
	requireParked(t, outcome.Undecodable, h(t.Context(), nil, inbox.Message{ID: "m-4", Value: []byte{}}))
	require.Len(t, got, 1)
}

func TestTypedTombstone(t *testing.T) {
	deleted := errors.New("deleted")
	h := inbox.Typed(inbox.JSON[order](), func(context.Context, pgx.Tx, inbox.Message, order) error { return nil },
		inbox.OnTombstone(func(context.Context, pgx.Tx, inbox.Message) error { return deleted }))
	require.Equal(t, deleted, h(t.Context(), nil, inbox.Message{}))
	require.NoError(t, h(t.Context(), nil, inbox.Message{Value: []byte("{}")}))
}

// A codec that panics has met bytes that it cannot decode.
func TestPanicOfACodec(t *testing.T) {
	cause := errors.New("index out of range")
	for p, unwraps := range map[any]bool{"text": false, cause: true} {
		h := inbox.Typed(inbox.Codec[order](func(inbox.Message) (order, error) { panic(p) }),
			func(context.Context, pgx.Tx, inbox.Message, order) error { return errors.New("not to be called") })
		err := h(t.Context(), nil, inbox.Message{Value: []byte("x")})
		requireParked(t, outcome.Undecodable, err)
		var undecodable *inbox.DecodeError
		require.ErrorAs(t, err, &undecodable)
		require.Contains(t, string(undecodable.Stack), "TestPanicOfACodec")
		require.Equal(t, unwraps, errors.Is(err, cause))
	}
	// One of the handler is the runner's matter.
	h := inbox.Typed(inbox.JSON[order](), func(context.Context, pgx.Tx, inbox.Message, order) error { panic("mine") })
	require.PanicsWithValue(t, "mine", func() { _ = h(t.Context(), nil, inbox.Message{Value: []byte("{}")}) })
}

func TestTypedBatch(t *testing.T) {
	var calls [][]inbox.Decoded[order]
	h := inbox.TypedBatch(inbox.JSON[order](), func(_ context.Context, _ pgx.Tx, batch []inbox.Decoded[order]) error {
		calls = append(calls, batch)
		return nil
	})
	a, b := inbox.Message{ID: "a", Value: []byte(`{"id": "1"}`)}, inbox.Message{ID: "b", Value: []byte(`{"id": "2"}`)}
	require.NoError(t, h(t.Context(), nil, []inbox.Message{a, b}))
	require.Equal(t, [][]inbox.Decoded[order]{{{Message: a, Value: order{ID: "1"}}, {Message: b, Value: order{ID: "2"}}}}, calls)
	for reason, bad := range map[string]inbox.Message{outcome.Undecodable: {Value: []byte("x")}, outcome.Tombstone: {}} {
		err := h(t.Context(), nil, []inbox.Message{a, bad, b})
		requireParked(t, reason, err)
		require.Equal(t, 1, outcome.Of(err).Index)
	}
	require.Len(t, calls, 1, "nothing of a batch is handled before all of it is decoded")
}

func TestRouter(t *testing.T) {
	var got []string
	record := func(name string) inbox.Handler {
		return func(_ context.Context, _ pgx.Tx, m inbox.Message) error {
			got = append(got, name+" "+m.Type)
			return nil
		}
	}
	r := inbox.NewRouter()
	r.Handle("order.cancelled", record("cancel"))
	r.Handle("order.viewed", inbox.Ignore)
	inbox.On(r, "order.placed", inbox.JSON[order](), func(_ context.Context, _ pgx.Tx, m inbox.Message, o order) error {
		got = append(got, "place "+m.Type+" "+o.ID)
		return nil
	})
	h := r.Handler()
	for _, m := range []inbox.Message{
		{Type: "order.placed", Value: []byte(`{"id": "o-1"}`)}, {Type: "order.cancelled"}, {Type: "order.viewed"},
	} {
		require.NoError(t, h(t.Context(), nil, m))
	}
	require.Equal(t, []string{"place order.placed o-1", "cancel order.cancelled"}, got)
	for _, unknown := range []string{"", "order", "Order.placed"} {
		err := h(t.Context(), nil, inbox.Message{Type: unknown, Topic: "orders"})
		requireParked(t, outcome.UnknownType, err)
		require.ErrorContains(t, err, `topic "orders"`)
	}

	r = inbox.NewRouter()
	r.Unknown(record("unknown"))
	require.NoError(t, r.Handler()(t.Context(), nil, inbox.Message{Type: "x"}))
	require.Equal(t, "unknown x", got[len(got)-1])
}

func TestMistakesOfSettingUpPanic(t *testing.T) {
	typed := func(context.Context, pgx.Tx, inbox.Message, order) error { return nil }
	inUse := inbox.NewRouter()
	inUse.Handler()
	twice := inbox.NewRouter()
	twice.Handle("a", inbox.Ignore)
	twice.Unknown(inbox.Ignore)
	for want, mistake := range map[string]func(){
		`type "a" has a handler already`: func() { twice.Handle("a", inbox.Ignore) },
		"there is a handler already":     func() { twice.Unknown(inbox.Ignore) },
		"the type is empty":              func() { inbox.NewRouter().Handle("", inbox.Ignore) },
		`the handler of type "b" is nil`: func() { inbox.NewRouter().Handle("b", nil) },
		"Router.Unknown: the handler":    func() { inbox.NewRouter().Unknown(nil) },
		"Router.Handle after":            func() { inUse.Handle("a", inbox.Ignore) },
		"Router.Unknown after":           func() { inUse.Unknown(inbox.Ignore) },
		"inbox: Typed: ":                 func() { inbox.Typed[order](nil, typed) },
		"inbox: Typed: the codec or":     func() { inbox.Typed(inbox.JSON[order](), nil) },
		"inbox: TypedBatch: ":            func() { inbox.TypedBatch(inbox.JSON[order](), nil) },
		"OnTombstone":                    func() { inbox.OnTombstone(nil) },
	} {
		requirePanic(t, want, mistake)
	}
}

func requirePanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		text, _ := recover().(string)
		require.Contains(t, text, want)
	}()
	f()
}

// A router is shared by the partitions of a consumer.
func TestRouterInParallel(t *testing.T) {
	r := inbox.NewRouter()
	inbox.On(r, "a", inbox.JSON[json.RawMessage](), func(context.Context, pgx.Tx, inbox.Message, json.RawMessage) error { return nil })
	h := r.Handler()
	errs := make(chan error)
	for range 8 {
		go func() {
			var failed error
			for range 100 {
				failed = errors.Join(failed, h(context.Background(), nil, inbox.Message{Type: "a", Value: []byte("1")}))
			}
			errs <- failed
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
}
