package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/tandem-outbox/tandem/integration/bench/report"
	"github.com/tandem-outbox/tandem/integration/bench/rivals"
)

// plan says what is to be measured.
type plan struct {
	rounds   int
	events   int // of a drain; slow systems take fewer, see most
	long     int // of the long drain
	lasting  time.Duration
	systems  []string
	measures []string
}

// The measures, as -measures names them.
const (
	measureDrain  = "drain"
	measureHeld   = "held"
	measureLong   = "long"
	measureSteady = "steady"
	measureOpen   = "open"
	measureLarge  = "oversized"
	measureOwn    = "own" // what "tandem bench" measures
)

var measures = []string{measureDrain, measureHeld, measureSteady, measureOpen, measureLong, measureLarge, measureOwn}

// The loads of the measurements of latency.
const (
	steadyRate = 1000
	warmTime   = 5 * time.Second
	openTime   = 10 * time.Second

	largeEvents = 2000 // around the one that the broker refuses
)

// most is how many events a slow system takes in a drain: enough for ten seconds.
var most = map[string]int{report.Debezium: 500_000, report.WatermillTuned: 200_000, report.Watermill: 30_000}

// mostRounds are those of slow systems, so that a run ends in good time.
var mostRounds = map[string]int{report.Debezium: 2, report.WatermillTuned: 2, report.Watermill: 2}

// task is one measurement, to be made in every round up to rounds: a drain of
// events, or else of latency under a load.
type task struct {
	system rivals.System
	name   string // the case
	rounds int
	events int
	held   bool
	large  bool // one that the broker refuses is among them
	load   load
}

// tasks are the measurements of a round.
func (p plan) tasks() []task {
	var (
		drain  = task{name: report.CaseBacklog, rounds: p.rounds, events: p.events}
		held   = task{name: report.CaseHeld, rounds: p.rounds, events: p.events, held: true}
		long   = task{name: report.CaseLong, rounds: 1, events: p.long}
		steady = task{name: report.CaseSteady, rounds: p.rounds, load: load{rate: steadyRate, warmUp: warmTime, lasting: p.lasting}}
		open   = task{name: report.CaseOpen, rounds: 1, load: load{rate: steadyRate, warmUp: warmTime, lasting: openAfter + openTime + warmTime, open: openTime}}
		large  = task{name: report.CaseLarge, rounds: 1, events: largeEvents, large: true}
		once   = held
	)
	once.rounds = 1
	return slices.Concat(
		p.of(measureDrain, drain),
		p.of(measureHeld, held, report.Tandem),
		p.of(measureHeld, once, report.SkipLocked),
		p.of(measureSteady, steady, report.Tandem, report.SkipLocked, report.WatermillTuned, report.Debezium),
		p.of(measureOpen, open, report.Tandem, report.SkipLocked, report.WatermillTuned),
		p.of(measureLong, long, report.Tandem),
		p.of(measureLarge, large, report.Tandem, report.SkipLocked, report.MarkPurge, report.WatermillTuned, report.Debezium),
	)
}

// of is a task for each of the systems, or for all, that are asked for.
func (p plan) of(measure string, t task, systems ...string) []task {
	var tasks []task
	for _, s := range rivals.Systems() {
		wanted := len(systems) == 0 || slices.Contains(systems, s.Name)
		if !wanted || !slices.Contains(p.measures, measure) || !slices.Contains(p.systems, s.Name) {
			continue
		}
		one := t
		one.system = s
		one.rounds = min(t.rounds, cmp.Or(mostRounds[s.Name], t.rounds))
		one.events = min(t.events, cmp.Or(most[s.Name], t.events))
		tasks = append(tasks, one)
	}
	return tasks
}
