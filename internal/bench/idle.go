package bench

import (
	"cmp"
	"context"
	"time"

	"github.com/tandem-outbox/tandem/relay"
)

// IdleOptions say how Idle measures.
type IdleOptions struct {
	Settle   time.Duration // 15 s unless set: after 10 s without events a relay looks more seldom
	Duration time.Duration // 20 s unless set
}

// Idle measures what a relay on an empty log takes of a processor: its process
// alone, not what Postgres does for it.
func Idle(ctx context.Context, s *Site, o IdleOptions) ([]Result, error) {
	o.Settle, o.Duration = cmp.Or(o.Settle, 15*time.Second), cmp.Or(o.Duration, 20*time.Second)
	r, err := s.startRelay(ctx, relay.Hooks{}, false)
	if err != nil {
		return nil, err
	}
	err = r.working(ctx)
	if err == nil {
		err = s.progress.pause(ctx, "idle: seconds of settling", o.Settle)
	}
	began, used := time.Now(), cpuTime()
	if err == nil {
		err = s.progress.pause(ctx, "idle: seconds", o.Duration)
	}
	took, spent := time.Since(began), cpuTime()-used
	published := r.Stats().Published
	if stopped := r.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return nil, err
	}
	return []Result{{
		Measure: "idle", System: "tandem", Case: "empty log", Round: 1, Seconds: took.Seconds(),
		CPU: map[string]float64{"relay": spent.Seconds()}, Audit: &Audit{Strange: int(published)},
	}}, nil
}
