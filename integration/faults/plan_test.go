package faults_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// plan is what a seed stands for.
type plan struct {
	seed    uint64
	real    bool // a real Kafka
	gentle  bool // nobody is killed or started anew, so what they count can be checked
	calm    bool // nor is any answer lost, so that it can be checked exactly
	handler string
	writers int
	pace    time.Duration // the mean pause of a writer
	bulky   bool          // some events are so large that pages fill
	save    time.Duration // the relays' --save-every
	lease   time.Duration
	session time.Duration // the consumers'
	faults  []fault
}

// fault is one, with all that is drawn of it.
type fault struct {
	name  string
	who   int           // which process, or which link
	which int           // what else there is to choose
	lasts time.Duration // where it lasts
	gap   time.Duration // before it
	both  *fault        // at the same time
}

func (f fault) String() string {
	text := fmt.Sprintf("%s (%d, %d) for %s", f.name, f.who, f.which, f.lasts)
	if f.both != nil {
		text += " and " + f.both.String()
	}
	return text
}

// handlers are the consumers' ways to handle a batch.
var handlers = []string{"each", "batch", "sql"}

func newPlan(seed uint64, real bool) plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := plan{
		seed: seed, real: real, gentle: r.IntN(6) == 0, handler: handlers[r.IntN(len(handlers))],
		writers: 4 + r.IntN(5), pace: time.Duration(10+r.IntN(30)) * time.Millisecond, bulky: r.IntN(3) == 0,
		save: time.Duration(2+r.IntN(40)) * time.Millisecond, lease: *lease, session: *lease * 3 / 2,
	}
	p.calm = p.gentle && r.IntN(2) == 0
	number := 18 + r.IntN(8)
	if real {
		number = 8 + r.IntN(5)
	}
	choice := p.choice()
	for range number {
		f := p.draw(r, choice)
		if r.IntN(5) == 0 {
			second := p.draw(r, choice)
			f.both = &second
		}
		p.faults = append(p.faults, f)
	}
	return p
}

func (p plan) draw(r *rand.Rand, choice []string) fault {
	f := fault{
		name: choice[r.IntN(len(choice))], who: r.IntN(2), which: r.IntN(1 << 16),
		lasts: time.Duration(30+r.IntN(270)) * time.Millisecond, gap: time.Duration(10+r.IntN(90)) * time.Millisecond,
	}
	if (f.name == freezeRelay || f.name == freezeConsumer) && r.IntN(4) > 0 { // mostly beyond its time
		beyond := p.lease
		if f.name == freezeConsumer {
			beyond = p.session
		}
		f.lasts = beyond + time.Duration(r.IntN(300))*time.Millisecond
	}
	return f
}

// choice has the name of each fault as often as its weight says.
func (p plan) choice() (all []string) {
	for _, k := range kinds {
		if k.fakeOnly && p.real || k.ends && p.gentle || p.calm && !k.calm {
			continue
		}
		weight := k.weight
		if p.real && k.slowOnKafka {
			weight = 1
		}
		all = append(all, slices.Repeat([]string{k.name}, weight)...)
	}
	return all
}

func (p plan) kafka() string {
	if p.real {
		return "real"
	}
	return "fake"
}
