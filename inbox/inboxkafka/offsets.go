package inboxkafka

import (
	"context"
	"sync"
	"time"
)

// offsets commits a partition's offset beside the work, so that no batch waits
// for Kafka's answer, and not more often than every commitEvery. The latest one
// counts; a crash repeats what was not committed yet, and the inbox knows it.
type offsets struct {
	commit  func(offset int64) error // exclusive
	latest  chan asked               // holds one at most
	closing chan struct{}
	done    chan struct{}
	state   *PartitionStats

	n int // of the offset that was asked for last

	mu        sync.Mutex
	committed int // of which n
	trouble   trouble
}

// asked is an offset to be committed. The one of the greatest n counts: a topic
// that is made anew begins with lower offsets.
type asked struct {
	n      int
	offset int64
}

// commitEvery is the pause after an offset that was committed. To commit each
// batch's costs more than it spares: kafka-go has one connection to the group's
// coordinator, and requests that wait for their answers on it spin.
const commitEvery = 100 * time.Millisecond

// commitAgain is the pause before an offset is tried again.
const commitAgain = time.Second

func newOffsets(commit func(int64) error, t trouble, state *PartitionStats) *offsets {
	return &offsets{commit: commit, latest: make(chan asked, 1), closing: make(chan struct{}), done: make(chan struct{}), trouble: t, state: state}
}

// set asks for an offset to be committed. One goroutine calls it.
func (o *offsets) set(offset int64) {
	select {
	case <-o.latest: // it is older
	default:
	}
	o.n++
	o.latest <- asked{o.n, offset}
	o.state.applied(offset)
}

// run commits until close is called, and then what is left. What fails is tried
// again, until then.
func (o *offsets) run() {
	defer close(o.done)
	for offset := range o.latest {
		for !o.try(offset) {
			newer, open := o.await(offset)
			if !open {
				return
			}
			offset = newer
		}
		o.rest()
	}
}

// rest waits for commitEvery, or until close is called.
func (o *offsets) rest() {
	over := time.NewTimer(commitEvery)
	defer over.Stop()
	select {
	case <-o.closing:
	case <-over.C:
	}
}

// await waits for a newer offset, or a while; false means that there is no more
// time for this one.
func (o *offsets) await(offset asked) (newer asked, open bool) {
	again := time.NewTimer(commitAgain)
	defer again.Stop()
	select {
	case newer, open = <-o.latest:
		return newer, open
	case <-again.C:
		return offset, true
	}
}

// try commits an offset, unless one that was asked for later is committed.
func (o *offsets) try(a asked) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a.n <= o.committed {
		return true
	}
	if err := o.commit(a.offset); err != nil {
		o.trouble.warn("commit", "could not commit an offset: messages before it may be delivered again, and will be known", "offset", a.offset, "error", err)
		return false
	}
	o.committed = a.n
	o.trouble.over()
	return true
}

// close waits until what was set last is committed, or was tried once more.
func (o *offsets) close() {
	close(o.closing)
	close(o.latest)
	<-o.done
}

// commitNow is for who may not go on before the offset is committed. It returns
// false when that is not known.
func (o *offsets) commitNow(ctx context.Context, offset int64) bool {
	o.n++
	if !o.try(asked{o.n, offset}) {
		wait(ctx, commitAgain/2)
		return false
	}
	o.state.applied(offset)
	return true
}
