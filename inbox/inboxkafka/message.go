package inboxkafka

import (
	"github.com/segmentio/kafka-go/protocol"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
)

// message copies a record, and reads the attributes of CloudEvents from its headers.
func message(topic string, partition int, r *protocol.Record) (inbox.Message, error) {
	key, err := content(r.Key)
	if err != nil {
		return inbox.Message{}, err
	}
	value, err := content(r.Value)
	if err != nil {
		return inbox.Message{}, err
	}
	m := inbox.Message{
		Topic:     topic,
		Partition: partition,
		Offset:    r.Offset,
		Key:       key,
		Value:     value,
		Headers:   make([]inbox.Header, len(r.Headers)),
	}
	for i, h := range r.Headers {
		m.Headers[i] = inbox.Header{Name: h.Key, Value: h.Value}
	}
	m.Sent = r.Time.UTC()
	cloudevent.Read(&m)
	return m, nil
}

func content(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return protocol.ReadAll(b)
}
