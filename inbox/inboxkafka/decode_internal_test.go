package inboxkafka

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/stretchr/testify/require"
)

func records(offsets ...int64) protocol.RecordReader {
	var out []protocol.Record
	for _, o := range offsets {
		out = append(out, protocol.Record{Offset: o, Time: time.UnixMilli(o)})
	}
	return protocol.NewRecordReader(out...)
}

func batch(producer, base int64, transactional bool, offsets ...int64) *protocol.RecordBatch {
	b := &protocol.RecordBatch{ProducerID: producer, BaseOffset: base, Records: records(offsets...)}
	if transactional {
		b.Attributes = protocol.Transactional
	}
	return b
}

func marker(producer, offset int64, kind int16) *protocol.ControlBatch {
	b := protocol.NewControlBatch(protocol.ControlRecord{Offset: offset, Type: kind})
	b.ProducerID, b.BaseOffset = producer, offset
	return b
}

func TestDecoder(t *testing.T) {
	t.Parallel()
	const abort, commit = 0, 1
	for name, c := range map[string]struct {
		asked   int64
		aborted []fetch.ResponseTransaction
		stream  []protocol.RecordReader
		want    []int64
		next    int64
	}{
		"nothing":                      {asked: 5, next: 5},
		"a batch":                      {asked: 5, stream: []protocol.RecordReader{batch(-1, 5, false, 5, 6)}, want: []int64{5, 6}, next: 7},
		"a batch that began earlier":   {asked: 5, stream: []protocol.RecordReader{batch(-1, 3, false, 3, 4, 5, 6)}, want: []int64{5, 6}, next: 7},
		"a batch with a compacted end": {asked: 5, stream: []protocol.RecordReader{batch(-1, 3, false, 3, 4)}, next: 6},
		"a batch that is empty":        {asked: 5, stream: []protocol.RecordReader{batch(-1, 3, false)}, next: 6},
		"an empty batch further on":    {asked: 5, stream: []protocol.RecordReader{batch(-1, 9, false)}, next: 10},
		"an empty batch in between":    {asked: 5, stream: []protocol.RecordReader{batch(-1, 5, false, 5), batch(-1, 6, false), batch(-1, 9, false, 11)}, want: []int64{5, 11}, next: 12},
		"a marker":                     {asked: 5, stream: []protocol.RecordReader{marker(1, 5, commit)}, next: 6},
		"an aborted transaction of one producer among others": {
			aborted: []fetch.ResponseTransaction{{ProducerID: 1, FirstOffset: 0}},
			stream: []protocol.RecordReader{
				batch(1, 0, true, 0), batch(2, 1, true, 1), batch(-1, 2, false, 2), marker(2, 3, commit), batch(1, 4, true, 4), marker(1, 5, abort), batch(1, 6, true, 6), marker(1, 7, commit),
			},
			want: []int64{1, 2, 6}, next: 8,
		},
		"a producer that aborts twice": {
			aborted: []fetch.ResponseTransaction{{ProducerID: 1, FirstOffset: 4}, {ProducerID: 1, FirstOffset: 0}},
			stream: []protocol.RecordReader{
				batch(1, 0, true, 0), marker(1, 1, abort), batch(1, 2, true, 2), marker(1, 3, commit), batch(1, 4, true, 4), marker(1, 5, abort),
			},
			want: []int64{2}, next: 6,
		},
		"an aborted transaction of which compaction left the marker alone": {
			asked:   4,
			aborted: []fetch.ResponseTransaction{{ProducerID: 1, FirstOffset: 0}},
			stream:  []protocol.RecordReader{marker(1, 4, abort), batch(1, 5, true, 5)},
			want:    []int64{5}, next: 6,
		},
	} {
		d := decoder{topic: "t", asked: c.asked, next: c.asked, aborted: newAborted(c.aborted)}
		require.NoError(t, d.read(&protocol.RecordStream{Records: c.stream}), name)
		var got []int64
		for _, m := range d.messages {
			got = append(got, m.Offset)
		}
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.next, d.next, name)
	}
}
