package stories_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// moment is when a fault comes.
type moment int

const (
	before   moment = iota // the server does not have the request
	during                 // it has, and may be at it
	answered               // it has answered, and the consumer does not know
	moments
)

// action is what happens to the consumer then.
type action int

const (
	kill   action = iota
	freeze        // until others have taken its partitions
	join          // another consumer joins
	actions
)

// fault is something that happens to a consumer.
type fault struct {
	step   step // where empty, any but other
	count  int  // at which request, from 1
	moment moment
	action action
	// patient means to wait for the session's time-out where a consumer is gone.
	patient bool
}

func (f fault) String() string {
	return fmt.Sprintf("%s, %s, request %d of step %q, patient %t", []string{"kill", "freeze", "join"}[f.action],
		[]string{"before", "during", "answered"}[f.moment], f.count, f.step, f.patient)
}

// targeted is the seed's own combination of a step and a moment: as the numbers of
// steps and moments have no common divisor, so many seeds in a row have them all.
func targeted(seed int, among []step) fault {
	return fault{step: among[seed%len(among)], count: 1, moment: moment(seed % int(moments)), action: kill}
}

// anywhere is a fault at any message on either wire; seldom at one of those, which
// are many, before the consumer is a member of its group.
func anywhere(random *rand.Rand, messages int, among ...action) fault {
	f := fault{
		count: 1 + random.IntN(messages), moment: moment(random.IntN(int(moments))), action: among[random.IntN(len(among))],
		patient: random.IntN(16) == 0,
	}
	if random.IntN(8) == 0 {
		f.step = other
	}
	return f
}

// columns are what is counted for each step: the moments of kills, and the other
// actions.
const columns = int(moments) + int(actions) - 1

// histogram counts what was met.
type histogram struct {
	mu     sync.Mutex
	counts map[step]*[columns]int
	faults int
}

func (h *histogram) add(f fault, at step) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil {
		h.counts = map[step]*[columns]int{}
	}
	if h.counts[at] == nil {
		h.counts[at] = new([columns]int)
	}
	column := int(f.moment)
	if f.action != kill {
		column = int(moments) + int(f.action-freeze)
	}
	h.counts[at][column]++
	h.faults++
}

func (h *histogram) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d faults\n%-20s %28s %8s %8s\n%-20s %8s %9s %9s\n", h.faults, "", "killed", "frozen", "joined", "step", "before", "during", "answered")
	for _, s := range append(steps[:len(steps):len(steps)], other) {
		if c := h.counts[s]; c != nil {
			fmt.Fprintf(&b, "%-20s %8d %9d %9d %8d %8d\n", s, c[before], c[during], c[answered], c[moments], c[moments+1])
		}
	}
	return b.String()
}

// check shows the histogram, and fails where a whole sweep has missed a step.
func (h *histogram) check(t *testing.T, among []step) {
	t.Helper()
	say(t, h.String())
	if *seeds < wholeSweep {
		return
	}
	for _, s := range among {
		c := h.counts[s]
		require.NotNilf(t, c, "no fault met the step %q", s)
		for m := range moments {
			require.NotZerof(t, c[m], "no consumer was killed at the step %q, moment %d", s, m)
		}
	}
}
