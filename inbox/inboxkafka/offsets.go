package inboxkafka

import (
	"context"
	"sync"
	"time"
)

// offsets commits a partition's offset beside the work, so that no batch waits
// for Kafka's answer. The latest one counts; a crash repeats what was not
// committed yet, and the inbox knows it.
type offsets struct {
	commit func(offset int64) error // exclusive
	latest chan int64               // holds one at most
	done   chan struct{}
	state  *PartitionStats

	mu        sync.Mutex
	committed int64
	trouble   trouble
}

// commitAgain is the pause before an offset is tried again.
const commitAgain = time.Second

func newOffsets(commit func(int64) error, t trouble, state *PartitionStats) *offsets {
	return &offsets{commit: commit, latest: make(chan int64, 1), done: make(chan struct{}), trouble: t, state: state}
}

// set asks for an offset to be committed. One goroutine calls it.
func (o *offsets) set(offset int64) {
	select {
	case <-o.latest: // it is older
	default:
	}
	o.latest <- offset
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
	}
}

// await waits for a newer offset, or a while; false means that there is no more
// time for this one.
func (o *offsets) await(offset int64) (newer int64, open bool) {
	again := time.NewTimer(commitAgain)
	defer again.Stop()
	select {
	case newer, open = <-o.latest:
		return newer, open
	case <-again.C:
		return offset, true
	}
}

// try commits an offset, unless a later one is committed.
func (o *offsets) try(offset int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if offset <= o.committed {
		return true
	}
	if err := o.commit(offset); err != nil {
		o.trouble.warn("commit", "could not commit an offset: messages before it may be delivered again, and will be known", "offset", offset, "error", err)
		return false
	}
	o.committed = offset
	o.trouble.over()
	return true
}

// close waits until what was set last is committed, or was tried once more.
func (o *offsets) close() {
	close(o.latest)
	<-o.done
}

// commitNow is for who may not go on before the offset is committed. It returns
// false when that is not known.
func (o *offsets) commitNow(ctx context.Context, offset int64) bool {
	if !o.try(offset) {
		wait(ctx, commitAgain/2)
		return false
	}
	o.state.applied(offset)
	return true
}
