package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tandem-outbox/tandem/relay/admin"
)

// following is whether and for how long a command waits for what it has asked for.
type following struct {
	wait    bool
	timeout time.Duration
}

func (f *following) settings(who, what string) []*setting {
	limit := duration(&f.timeout, "wait-timeout", "how long --wait waits; 0s is without end", 0, 0)
	limit.flagOnly, limit.example = true, "5m"
	return []*setting{once(&f.wait, "wait", fmt.Sprintf("wait until %s done it; exit code 1 if %s failed", who, what)), limit}
}

// limit ends with ctx or when the command has waited long enough.
func (f *following) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.timeout > 0 {
		return context.WithTimeout(ctx, f.timeout)
	}
	return context.WithCancel(ctx)
}

// asked tells of a request and, with --wait, follows it to its end.
func (o *operator) asked(ctx context.Context, sys system, desk *admin.Operator, r admin.Request, text string) error {
	o.note(sys, "request %d: %s", r.Number, text)
	holder, err := desk.Working(ctx)
	if err != nil {
		return err
	}
	if holder == "" {
		o.note(sys, "no relay is working: the request stays, and is carried out when one is started")
	}
	if o.follow.wait {
		if r, err = o.await(ctx, sys, desk, r); err != nil {
			return err
		}
		switch {
		case failedOf(r) != nil:
		case r.Kind == "release":
			o.note(sys, "request %d: done", r.Number)
		default:
			o.note(sys, "request %d: done, %d of %d events sent", r.Number, r.Done, r.Total)
		}
	}
	if o.asJSON {
		if err := printJSON(sys, r); err != nil {
			return err
		}
	}
	return failedOf(r)
}

// await shows how far the relay is, not more often than once in two seconds.
func (o *operator) await(ctx context.Context, sys system, desk *admin.Operator, r admin.Request) (admin.Request, error) {
	waiting, cancel := o.follow.limit(ctx)
	defer cancel()
	shown := time.Now()
	r, err := desk.Wait(waiting, r.Number, func(now admin.Request) {
		if time.Since(shown) > 2*time.Second && now.FinishedAt == nil {
			shown = time.Now()
			o.note(sys, "request %d: %d of %d events sent, %d failed", now.Number, now.Done, now.Total, now.Failed)
		}
	})
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return r, fmt.Errorf("stopped waiting for request %d after %d of %d events: the working relay goes on with it", r.Number, r.Done, r.Total)
	}
	return r, err
}

// failedOf is the error of a request that did not go well.
func failedOf(r admin.Request) error {
	switch {
	case r.Error != "":
		return fmt.Errorf("request %d: %d of %d events sent, %d failed: %s", r.Number, r.Done, r.Total, r.Failed, r.Error)
	case r.Failed > 0 && r.Kind == "redrive":
		return fmt.Errorf("request %d: %d of %d events sent, %d refused again; tandem parked list says why", r.Number, r.Done, r.Total, r.Failed)
	case r.Failed > 0:
		return fmt.Errorf("request %d: %d of %d events sent, %d failed; the relay's log says why", r.Number, r.Done, r.Total, r.Failed)
	}
	return nil
}

func printJSON(sys system, v any) error {
	encoder := json.NewEncoder(sys.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
