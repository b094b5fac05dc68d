package bench

import (
	"context"
	"time"
)

// Progress is told what is being done and how far that is, a few times a second,
// by one goroutine at a time. Nil is nobody.
type Progress func(what string, done, total int64)

const progressEvery = 200 * time.Millisecond

// follow tells of done until stop is called, which waits for the last time.
func (p Progress) follow(what string, total int64, done func() int64) (stop func()) {
	if p == nil {
		return func() {}
	}
	over, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			p(what, done(), total)
			select {
			case <-tick.C:
			case <-over:
				p(what, done(), total)
				return
			}
		}
	}()
	return func() {
		close(over)
		<-told
	}
}

// pause waits, and tells how much of it has passed, in seconds.
func (p Progress) pause(ctx context.Context, what string, d time.Duration) error {
	began := time.Now()
	defer p.follow(what, int64(d.Seconds()), func() int64 { return int64(time.Since(began).Seconds()) })()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
