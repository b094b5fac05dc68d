package faults_test

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offered is when fake brokers were first asked to take each event of a topic, but
// for what they have refused here: the event is not there before.
type offered struct {
	mu       sync.Mutex
	first    map[string]time.Time
	stalled  bool // the partitions that the topic began with take nothing
	refusing bool // of the request that is being looked at
	begin    []int32
	refused  chan struct{} // holds one if an event was refused here
}

// watchOffers looks at every request before anything else does.
func watchOffers(c *kfake.Cluster, topic string, partitions int32) *offered {
	o := &offered{first: map[string]time.Time{}, refused: make(chan struct{}, 1)}
	for p := range partitions {
		o.begin = append(o.begin, p)
	}
	keys := []kmsg.Key{kmsg.Produce}
	c.Fault(
		kfake.Fault{Keys: keys, Topic: topic, Observe: true, Count: -1, When: o.note},
		kfake.Fault{Keys: keys, Topic: topic, Partitions: o.begin, Err: kerr.NotEnoughReplicas, Count: -1, When: o.refuses},
	)
	return o
}

// stall has the partitions that the topic began with take nothing, or take it again.
func (o *offered) stall(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stalled = on
	select { // of before
	case <-o.refused:
	default:
	}
}

func (o *offered) refuses(kmsg.Request) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refusing {
		select {
		case o.refused <- struct{}{}:
		default:
		}
	}
	return o.refusing
}

func (o *offered) note(request kmsg.Request) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refusing = o.stalled
	for _, t := range request.(*kmsg.ProduceRequest).Topics {
		for _, p := range t.Partitions {
			if o.refusing && slices.Contains(o.begin, p.Partition) {
				continue
			}
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
