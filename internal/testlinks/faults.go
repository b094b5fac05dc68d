//go:build unix

package testlinks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
)

// Faults are what can happen on the way to a server, or to any broker. They last
// until they are changed, or until Heal, and hold for connections that are open and
// for new ones. The methods may be called from any goroutine; they return when it
// is so.
type Faults struct{ fronts []*front }

// Cut resets every connection that is open. New ones are fine.
func (f *Faults) Cut() { f.change(true, func(*faults) {}) }

// Down resets every connection, and refuses new ones until Heal.
func (f *Faults) Down() { f.change(true, func(now *faults) { now.down = true }) }

// Delay delays what is said in either direction by latency ± jitter, in whole
// milliseconds.
func (f *Faults) Delay(latency, jitter time.Duration) {
	f.change(false, func(now *faults) { now.latency, now.jitter = latency, jitter })
}

// Throttle lets so much through in a second, per connection and direction, in
// steps of 1,000; 0 is as much as there is.
func (f *Faults) Throttle(bytesPerSecond int) {
	f.change(false, func(now *faults) { now.bytesPerSecond = bytesPerSecond })
}

// HalfOpen loses what the process says (upstream), what the server says
// (downstream), or both, and lets no side see that the other one closes, until
// Heal. It adds to what an earlier call has lost.
func (f *Faults) HalfOpen(upstream, downstream bool) {
	f.change(false, func(now *faults) {
		now.halfOpen[stream.Upstream] = now.halfOpen[stream.Upstream] || upstream
		now.halfOpen[stream.Downstream] = now.halfOpen[stream.Downstream] || downstream
	})
}

// Heal ends all faults. Connections that were half-open are reset, since they miss
// something.
func (f *Faults) Heal() {
	for _, front := range f.fronts {
		front.heal()
	}
}

func (f *Faults) change(reset bool, to func(*faults)) {
	for _, front := range f.fronts {
		front.change(reset, to)
	}
}

// faults are those of one front.
type faults struct {
	latency, jitter time.Duration
	bytesPerSecond  int
	halfOpen        [stream.NumDirections]bool
	down            bool
}

func (f *front) heal() {
	open := f.halfOpen[stream.Upstream].Load() || f.halfOpen[stream.Downstream].Load()
	f.change(open, func(now *faults) { *now = faults{} })
}

// toxic is one of Toxiproxy's, in one direction.
type toxic struct {
	kind      string
	direction stream.Direction
}

// The kinds that are used.
const (
	latency   = "latency"
	bandwidth = "bandwidth"
	timeout   = "timeout" // after 0 ms it closes nothing: what comes vanishes
)

func (t toxic) name() string { return t.kind + " " + t.direction.String() }

// remove takes toxics of these kinds away, the last one first: so none waits for
// another one that is slow.
func (f *front) remove(kinds ...string) {
	var kept []toxic
	for _, t := range slices.Backward(f.added) {
		if !slices.Contains(kinds, t.kind) {
			kept = append(kept, t)
		} else if err := f.toxics.RemoveToxic(context.Background(), t.name()); err != nil {
			f.t.Errorf("testlinks: remove the toxic %q: %v", t.name(), err)
		}
	}
	slices.Reverse(kept)
	f.added = kept
}

// add adds the toxics that the faults need and that are not there.
func (f *front) add() {
	for _, direction := range []stream.Direction{stream.Upstream, stream.Downstream} {
		if f.faults.halfOpen[direction] {
			f.addOne(toxic{timeout, direction}, map[string]int64{"timeout": 0})
			continue // nothing is left to be slow
		}
		if f.faults.latency > 0 || f.faults.jitter > 0 {
			f.addOne(toxic{latency, direction}, map[string]int64{
				"latency": f.faults.latency.Milliseconds(), "jitter": f.faults.jitter.Milliseconds(),
			})
		}
		if f.faults.bytesPerSecond > 0 {
			f.addOne(toxic{bandwidth, direction}, map[string]int64{"rate": max(1, int64(f.faults.bytesPerSecond)/1000)})
		}
	}
}

func (f *front) addOne(t toxic, attributes map[string]int64) {
	if slices.Contains(f.added, t) {
		return
	}
	description, err := json.Marshal(map[string]any{
		"name": t.name(), "type": t.kind, "stream": t.direction.String(), "toxicity": 1, "attributes": attributes,
	})
	if err == nil {
		_, err = f.toxics.AddToxicJson(strings.NewReader(string(description)))
	}
	if err != nil {
		f.t.Error(fmt.Errorf("testlinks: add the toxic %q: %w", t.name(), err))
		return
	}
	f.added = append(f.added, t)
}
