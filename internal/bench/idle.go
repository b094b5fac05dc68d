package bench

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/tandem-outbox/tandem/relay"
)

// IdleOptions say how Idle measures.
type IdleOptions struct {
	Settle   time.Duration // 15 s unless set: after 10 s without events a relay looks more seldom
	Duration time.Duration // 20 s unless set
}

// Idle measures what a relay on an empty log takes of a processor, and what
// Postgres takes for it.
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
	began, used := time.Now(), s.meter()
	if err == nil {
		if s.progress != nil { // once: to show how far it is costs more than the relay
			s.progress(fmt.Sprintf("idle: measured for %v", o.Duration), 0, 0)
		}
		err = Progress(nil).pause(ctx, "", o.Duration)
	}
	took, spent := time.Since(began), used.spent("relay")
	published := r.Stats().Published
	if stopped := r.stop(); err == nil {
		err = stopped
	}
	if err != nil {
		return nil, err
	}
	return []Result{{
		Measure: "idle", System: "tandem", Case: "empty log", Round: 1, Seconds: took.Seconds(),
		CPU: spent, Audit: &Audit{Strange: int(published)},
	}}, nil
}
