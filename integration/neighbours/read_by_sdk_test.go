package neighbours_test

import (
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/outbox"
)

// received is a record, and what the SDK makes of it.
type received struct {
	event  *event.Event
	record *sarama.ConsumerMessage
}

// ends are the offsets after the last record of each partition.
func ends(t *testing.T, brokers []string, topic string) (all [partitions]int64) {
	t.Helper()
	client, err := sarama.NewClient(brokers, sarama.NewConfig())
	require.NoError(t, err)
	defer client.Close()
	for partition := range all {
		all[partition], err = client.GetOffset(topic, int32(partition), sarama.OffsetNewest)
		require.NoError(t, err)
	}
	return all
}

// readBySDK reads the topic, which has n events, by their ids.
func (w *world) readBySDK(n int) map[string]received {
	w.Helper()
	config := sarama.NewConfig()
	config.Version = sarama.V3_0_0_0
	consumer, err := sarama.NewConsumer(w.brokers, config)
	require.NoError(w, err)
	defer consumer.Close()
	all := map[string]received{}
	for partition, end := range ends(w.T, w.brokers, w.topic) {
		records, err := consumer.ConsumePartition(w.topic, int32(partition), sarama.OffsetOldest)
		require.NoError(w, err)
		for offset := int64(0); offset < end; {
			var record *sarama.ConsumerMessage
			select {
			case record = <-records.Messages():
			case <-w.Context().Done():
				require.FailNow(w, "the topic did not come to its end")
			}
			offset = record.Offset + 1
			message := kafka_sarama.NewMessageFromConsumerMessage(record)
			require.Equal(w, binding.EncodingBinary, message.ReadEncoding())
			e, err := binding.ToEvent(w.Context(), message)
			require.NoError(w, err)
			require.NoErrorf(w, e.Validate(), "%s", e)
			all[e.ID()] = received{event: e, record: record}
		}
		require.NoError(w, records.Close())
	}
	require.Len(w, all, n)
	return all
}

// extensions are an event's, without those that the SDK makes of the record's place.
func (r received) extensions() map[string]any {
	own := map[string]any{}
	for name, value := range r.event.Extensions() {
		if name != "kafkaoffset" && name != "kafkapartition" && name != "kafkatopic" {
			own[name] = value
		}
	}
	return own
}

func (r received) header(name string) string {
	for _, h := range r.record.Headers {
		if string(h.Key) == name {
			return string(h.Value)
		}
	}
	return ""
}

// What the relay publishes is an event for the SDK, with the attributes that it was
// added with.
func TestTheSDKReadsOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	full, plain, empty, tombstone := outbox.NewID(), outbox.NewID(), outbox.NewID(), outbox.NewID()
	cause, first := outbox.NewID(), outbox.NewID()
	w.add(
		outbox.Event{ID: full, Key: "o-1", Type: "order.placed", Payload: []byte(`{"id": "o-1", "note": "ä\u0000"}`), Headers: map[string]string{
			"content-type": "application/json", "ce_causationid": cause, "ce_correlationid": first, "traceparent": trace, "other": "ü"}},
		outbox.Event{ID: plain, Payload: []byte{0, 1, 0xff}},
		outbox.Event{ID: empty, Key: "o-2", Type: "order.emptied"},
		outbox.Event{ID: tombstone, Key: "o-3", Type: "order.deleted", Tombstone: true},
	)
	var bySQL string
	require.NoError(t, w.pool.QueryRow(t.Context(),
		`SELECT tandem.add($1, '{"id": "o-4"}'::jsonb, key => 'o-4', type => 'order.placed')::text`, w.topic).Scan(&bySQL))
	times := w.times()
	w.relay()
	all := w.readBySDK(5)

	for id, r := range all {
		require.Equal(t, "1.0", r.event.SpecVersion())
		require.Equal(t, source, r.event.Source())
		require.Truef(t, times[id].Equal(r.event.Time()), "%s is not %s", r.event.Time(), times[id])
		require.Empty(t, r.event.Subject())
		require.Empty(t, r.event.DataSchema())
	}
	is := func(id, kind, contentType, data string, extensions map[string]any) {
		t.Helper()
		require.Equal(t, kind, all[id].event.Type())
		require.Equal(t, contentType, all[id].event.DataContentType())
		require.Equal(t, data, string(all[id].event.Data()))
		require.Equal(t, extensions, all[id].extensions())
	}
	none := map[string]any{}
	is(full, "order.placed", "application/json", `{"id": "o-1", "note": "ä\u0000"}`, map[string]any{"causationid": cause, "correlationid": first})
	is(plain, w.topic, "", "\x00\x01\xff", none)
	is(empty, "order.emptied", "", "", none)
	is(tombstone, "order.deleted", "", "", none)
	is(bySQL, "order.placed", "application/json", `{"id": "o-4"}`, none)
	require.Nil(t, all[tombstone].record.Value)
	require.NotNil(t, all[empty].record.Value)
	require.Equal(t, "o-1", string(all[full].record.Key))
	require.Nil(t, all[plain].record.Key)
	// A trace goes by W3C's own header, as Kafka's clients have it, and not as an extension.
	require.Equal(t, trace, all[full].header("traceparent"))
	require.Equal(t, "ü", all[full].header("other"))
}

// times are when the events were written, by their ids.
func (w *world) times() map[string]time.Time {
	w.Helper()
	rows, err := w.pool.Query(w.Context(), `SELECT id::text, created_at FROM tandem.log`)
	require.NoError(w, err)
	defer rows.Close()
	times := map[string]time.Time{}
	for rows.Next() {
		var id string
		var at time.Time
		require.NoError(w, rows.Scan(&id, &at))
		times[id] = at
	}
	require.NoError(w, rows.Err())
	return times
}
