package inboxkafka

import (
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/tandem-outbox/tandem/inbox"
)

// message copies a record, and reads the attributes of CloudEvents' Kafka
// binding (binary mode) from its headers.
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
	attributes(&m)
	return m, nil
}

// attributes reads what the headers say.
func attributes(m *inbox.Message) {
	m.ID, m.Type, m.Source, m.ContentType, m.Time = "", "", "", "", m.Sent
	for i := len(m.Headers) - 1; i >= 0; i-- { // of those of one name the first counts
		h := &m.Headers[i]
		switch h.Name {
		case "ce_id":
			m.ID = string(h.Value)
		case "ce_type":
			m.Type = string(h.Value)
		case "ce_source":
			m.Source = string(h.Value)
		case "content-type":
			m.ContentType = string(h.Value)
		case "ce_time":
			var err error
			if m.Time, err = time.Parse(time.RFC3339, string(h.Value)); err != nil {
				m.Time = m.Sent
			}
		}
	}
}

func content(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return protocol.ReadAll(b)
}
