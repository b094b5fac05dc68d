package inbox_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tandem-outbox/tandem/inbox"
)

// A consumer of several types. The handlers get their values decoded; what nobody
// handles, and what cannot be decoded, is parked.
func ExampleRouter() {
	type Order struct {
		ID    string `json:"id"`
		Cents int    `json:"cents"`
	}
	router := inbox.NewRouter()
	inbox.On(router, "order.placed", inbox.JSON[Order](), func(ctx context.Context, tx pgx.Tx, m inbox.Message, o Order) error {
		fmt.Println("charge", o.Cents, "for", o.ID) // by a statement in tx
		return nil
	})
	router.Handle("order.viewed", inbox.Ignore)

	handler := router.Handler() // for inboxkafka.NewConsumer
	for _, m := range []inbox.Message{
		{Type: "order.placed", Value: []byte(`{"id": "o-1", "cents": 100}`)},
		{Type: "order.viewed", Value: []byte(`{"id": "o-1"}`)},
		{Type: "order.lost", Topic: "orders", Value: []byte(`{"id": "o-1"}`)},
	} {
		if err := handler(context.Background(), nil, m); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// charge 100 for o-1
	// inbox: nobody handles messages of type "order.lost" (topic "orders"): register a handler for it, or decide by Router.Unknown
}

// Any other format is a function. For protobuf it has two lines, whatever the
// message; Avro, with a library of your choice, has as many.
func ExampleCodec() {
	protobuf := inbox.Codec[*durationpb.Duration](func(m inbox.Message) (*durationpb.Duration, error) {
		d := new(durationpb.Duration)
		return d, proto.Unmarshal(m.Value, d)
	})
	handler := inbox.Typed(protobuf, func(ctx context.Context, tx pgx.Tx, m inbox.Message, d *durationpb.Duration) error {
		fmt.Println(d.AsDuration())
		return nil
	})
	payload, err := proto.Marshal(&durationpb.Duration{Seconds: 90})
	if err != nil {
		panic(err)
	}
	if err := handler(context.Background(), nil, inbox.Message{Value: payload}); err != nil {
		panic(err)
	}
	// Output: 1m30s
}
