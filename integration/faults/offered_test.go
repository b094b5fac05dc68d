package faults_test

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offered is when fake brokers were first asked to take each event of a topic: it
// is not there before.
type offered struct {
	mu    sync.Mutex
	first map[string]time.Time
}

func watchOffers(c *kfake.Cluster, topic string) *offered {
	o := &offered{first: map[string]time.Time{}}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Observe: true, Count: -1, When: o.note})
	return o
}

func (o *offered) note(request kmsg.Request) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range request.(*kmsg.ProduceRequest).Topics {
		for _, p := range t.Partitions {
			for _, id := range idsOf(p.Records) {
				if o.first[id].IsZero() {
					o.first[id] = time.Now()
				}
			}
		}
	}
	return true
}

// idsOf are those of a batch, which the relay does not compress.
func idsOf(raw []byte) (ids []string) {
	var batch kmsg.RecordBatch
	if batch.ReadFrom(raw) != nil {
		return nil
	}
	for rest := batch.Records; len(rest) > 0; {
		length, n := binary.Varint(rest)
		var r kmsg.Record
		if n <= 0 || length < 0 || int(length) > len(rest)-n || r.ReadFrom(rest[:n+int(length)]) != nil {
			return ids
		}
		for _, h := range r.Headers {
			if h.Key == "ce_id" {
				ids = append(ids, string(h.Value))
			}
		}
		rest = rest[n+int(length):]
	}
	return ids
}

// at is when the event was first offered; zero where nobody has looked.
func (o *offered) at(id string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first[id]
}
