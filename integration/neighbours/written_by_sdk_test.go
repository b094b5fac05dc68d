package neighbours_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/outbox"
)

const limit = 3 * time.Minute // that a machine with much to do may take

// sendBySDK sends events, in structured mode or in binary mode.
func (w *world) sendBySDK(structured bool, events ...cloudevents.Event) {
	w.Helper()
	config := sarama.NewConfig()
	config.Version = sarama.V3_0_0_0
	sender, err := kafka_sarama.NewSender(w.brokers, config, w.topic)
	require.NoError(w, err)
	defer sender.Close(w.Context())
	client, err := cloudevents.NewClient(sender)
	require.NoError(w, err)
	ctx := binding.WithForceBinary(w.Context())
	if structured {
		ctx = binding.WithForceStructured(w.Context())
	}
	for _, e := range events {
		result := client.Send(ctx, e)
		require.Falsef(w, cloudevents.IsUndelivered(result), "%v", result)
	}
}

func placed(id string) cloudevents.Event {
	e := cloudevents.NewEvent()
	e.SetID(id)
	e.SetSource("https://example.com/shop")
	e.SetType("order.placed")
	e.SetSubject("o-1")
	e.SetTime(time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC))
	e.SetDataSchema("https://example.com/order.json")
	e.SetExtension("correlationid", "c-1")
	e.SetExtension("partitionkey", "o-1") // the record's key, too
	if err := e.SetData(cloudevents.ApplicationJSON, map[string]any{"id": "o-1", "cents": 100}); err != nil {
		panic(err) // a map of strings and numbers is JSON
	}
	return e
}

// consume handles the topic, all of it in one partition, until done, and returns the
// messages that it handled, in their order.
func (w *world) consume(config inboxkafka.Config, handler inbox.Handler, done func(inboxkafka.Stats) bool) []inbox.Message {
	w.Helper()
	config.Brokers, config.Consumer, config.Topics = w.brokers, w.topic, []string{w.topic}
	var mu sync.Mutex
	handled := map[int64]inbox.Message{} // by offset: a batch that failed is repeated
	consumer, err := inboxkafka.NewConsumer(config, w.pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		if handler != nil {
			if err := handler(ctx, tx, m); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		handled[m.Offset] = m
		return nil
	})
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	assert.Eventually(w, func() bool { return done(consumer.Stats()) }, limit, 50*time.Millisecond)
	cancel()
	require.NoError(w, <-ended)
	messages := make([]inbox.Message, 0, len(handled))
	for _, offset := range slices.Sorted(maps.Keys(handled)) {
		messages = append(messages, handled[offset])
	}
	return messages
}

// An event that the SDK sends in binary mode is handled with its attributes, once.
func TestWeReadTheSDKs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sent := placed(outbox.NewID())
	other := placed("not-a-uuid") // any string will do
	w.sendBySDK(false, sent, sent, other, sent)
	handled := w.consume(inboxkafka.Config{}, nil, func(s inboxkafka.Stats) bool { return s.Handled >= 2 && s.Duplicates >= 2 })
	require.Len(t, handled, 2)
	for i, e := range []cloudevents.Event{sent, other} { // of one key
		m := handled[i]
		require.Equal(t, e.ID(), m.ID)
		require.Equal(t, e.Source(), m.Source)
		require.Equal(t, e.Type(), m.Type)
		require.Truef(t, e.Time().Equal(m.Time), "%s is not %s", m.Time, e.Time())
		require.Equal(t, e.DataContentType(), m.ContentType)
		require.Equal(t, e.Data(), m.Value)
		require.Equal(t, "o-1", string(m.Key))
		// What Message has no field for is among its headers.
		require.Equal(t, e.SpecVersion(), m.Header("ce_specversion"))
		require.Equal(t, e.Subject(), m.Header("ce_subject"))
		require.Equal(t, e.DataSchema(), m.Header("ce_dataschema"))
		require.Equal(t, "c-1", m.Header("ce_correlationid"))
	}
}

// A record in structured mode has its id in its value. It is parked, for want of one,
// unless Config.MessageID looks there; and then the codec has to, too.
func TestStructuredMode(t *testing.T) {
	t.Parallel()
	t.Run("as it comes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sendBySDK(true, placed(outbox.NewID()))
		require.Empty(t, w.consume(inboxkafka.Config{}, nil, func(s inboxkafka.Stats) bool { return s.Parked >= 1 }))
		require.Equal(t, "missing id", w.parkedFor())
	})
	of := func(m inbox.Message) (e cloudevents.Event, err error) {
		err = json.Unmarshal(m.Value, &e)
		return e, err
	}
	config := inboxkafka.Config{MessageID: func(m inbox.Message) (string, error) {
		e, err := of(m)
		return e.ID(), err
	}}
	t.Run("with its id alone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sendBySDK(true, placed(outbox.NewID()))
		handler := inbox.Typed(inbox.JSON[struct{ Cents int }](), func(context.Context, pgx.Tx, inbox.Message, struct{ Cents int }) error { return nil })
		require.Empty(t, w.consume(config, handler, func(s inboxkafka.Stats) bool { return s.Parked >= 1 }))
		require.Equal(t, "undecodable", w.parkedFor())
	})
	t.Run("with its id and a codec", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		sent := placed(outbox.NewID())
		w.sendBySDK(true, sent, sent)
		handler := inbox.Typed(of, func(_ context.Context, _ pgx.Tx, _ inbox.Message, e cloudevents.Event) error {
			assert.Equal(t, sent.String(), e.String())
			return nil
		})
		handled := w.consume(config, handler, func(s inboxkafka.Stats) bool { return s.Handled+s.Duplicates >= 2 })
		require.Len(t, handled, 1)
		require.Equal(t, sent.ID(), handled[0].ID)
		require.Equal(t, cloudevents.ApplicationCloudEventsJSON, handled[0].ContentType)
	})
}

// parkedFor is why the only message that was set aside was.
func (w *world) parkedFor() (reason string) {
	w.Helper()
	require.NoError(w, w.pool.QueryRow(w.Context(), `SELECT reason FROM tandem.inbox_aside WHERE state = 'parked'`).Scan(&reason))
	return reason
}
