package inboxkafka

import (
	"errors"
	"io"
	"slices"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/tandem-outbox/tandem/inbox"
)

// decoder turns the batches of an answer into messages, and finds out where to
// go on. Offsets without a message are many: markers of transactions, records
// of aborted ones, and holes that compaction left.
type decoder struct {
	topic     string
	partition int
	asked     int64 // records before it come along when their batch began earlier
	next      int64
	aborted   *aborted
	messages  []inbox.Message
}

func (d *decoder) read(records protocol.RecordReader) error {
	if records == nil {
		return nil
	}
	stream, ok := records.(*protocol.RecordStream)
	if !ok {
		return d.batch(records, false)
	}
	for _, r := range stream.Records {
		var err error
		switch b := r.(type) {
		case *protocol.ControlBatch:
			d.next = max(d.next, b.BaseOffset)
			err = d.marker(b)
		case *protocol.RecordBatch:
			d.next = max(d.next, b.BaseOffset)
			err = d.batch(b, d.aborted.has(b.ProducerID, b.BaseOffset) && b.Attributes.Transactional())
		default:
			err = d.batch(r, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// batch reads a batch of records, which aborted leaves out.
func (d *decoder) batch(records protocol.RecordReader, aborted bool) error {
	before := d.next
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		m, err := message(d.topic, d.partition, r)
		if err != nil {
			return err
		}
		if m.Offset < d.asked {
			continue
		}
		d.next = max(d.next, m.Offset+1)
		if !aborted {
			d.messages = append(d.messages, m)
		}
	}
	if d.next == before {
		// The broker sends a batch because it covers this offset; compaction
		// has taken the record, and kafka-go does not tell the batch's end.
		d.next++
	}
	return nil
}

// abortMarker is the type of the control record that ends a transaction which
// was aborted.
const abortMarker = 0

func (d *decoder) marker(b *protocol.ControlBatch) error {
	d.aborted.has(b.ProducerID, b.BaseOffset)
	d.next++
	for {
		r, err := b.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		d.next = max(d.next, r.Offset+1)
		c, err := protocol.ReadControlRecord(r)
		if err != nil {
			return err
		}
		if c.Type == abortMarker {
			d.aborted.end(b.ProducerID)
		}
	}
}

// aborted knows whose transaction is being read that was aborted later.
type aborted struct {
	ahead []fetch.ResponseTransaction // by first offset
	now   map[int64]bool              // by producer
}

func newAborted(transactions []fetch.ResponseTransaction) *aborted {
	ahead := slices.Clone(transactions)
	slices.SortFunc(ahead, func(a, b fetch.ResponseTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
	return &aborted{ahead: ahead, now: map[int64]bool{}}
}

// has is asked for every batch, in order.
func (a *aborted) has(producer, offset int64) bool {
	for len(a.ahead) > 0 && a.ahead[0].FirstOffset <= offset {
		a.now[a.ahead[0].ProducerID] = true
		a.ahead = a.ahead[1:]
	}
	return a.now[producer]
}

func (a *aborted) end(producer int64) { delete(a.now, producer) }
