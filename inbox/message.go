package inbox

import "time"

// Message is a message as a consumer's handler gets it. The names are those of
// CloudEvents where it has one; a field is empty where the message brought
// nothing for it.
//
// Its slices belong to the message; a handler may keep them.
type Message struct {
	// ID is what the inbox deduplicates by.
	ID string

	// Topic, Partition and Offset are where the broker keeps the message.
	Topic     string
	Partition int
	Offset    int64

	// Key is the ordering key; nil where there is none.
	Key []byte

	Type   string // what happened, such as "order.placed"
	Source string // who says so, such as "/tandem/shop"

	// Time is when it happened; where the message does not say, when the
	// broker got it.
	Time time.Time

	// Sent is the broker's own time of the message.
	Sent        time.Time
	ContentType string

	// Headers are all headers as received, those above included.
	Headers []Header

	// Value is the payload. Nil is a null value, a tombstone.
	Value []byte
	// Attempt counts how often this message is handled, from 1. A runner that
	// does not count leaves it 0.
	Attempt int
}

// Header is one header of a message.
type Header struct {
	Name  string
	Value []byte
}

// Header returns the value of the first header of that name, which is compared
// exactly; empty where there is none.
func (m Message) Header(name string) string {
	for _, h := range m.Headers {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}
