package report

import (
	"fmt"
	"strings"
)

// contest is something in which the least figure, or the greatest, wins.
type contest struct {
	measure, name string
	figure        func(Result) float64
	greatest      bool
	say           func(system string, theirs, ours float64) string
}

var contests = []contest{
	{"drain", CaseBacklog, rate, true, saying("%s drains a backlog faster: %s events/s against %s", rounded)},
	{"drain", CaseBacklog, cpu("relay"), false, saying("%s's own process takes less CPU to drain a million events: %s s against %s", seconds)},
	{"drain", CaseBacklog, cpu("postgres"), false, saying("%s costs Postgres less CPU for a drained million: %s s against %s", seconds)},
	{"drain", CaseBacklog, cpu("kafka"), false, saying("%s costs Kafka less CPU for a drained million: %s s against %s", seconds)},
	{"drain", CaseBacklog, memory, false, saying("%s needs less memory in a drain: %s MB against %s", megabytes)},
	{"steady", CaseSteady, p50(received), false, saying("%s has the shorter median at 1,000/s: %s ms against %s", millis)},
	{"steady", CaseSteady, p99(received), false, saying("%s has the shorter p99 at 1,000/s: %s ms against %s", millis)},
	{"steady", CaseSteady, longest(received), false, saying("%s has the shorter longest wait at 1,000/s: %s ms against %s", millis)},
	{"steady", CaseSteady, cpu("relay"), false, saying("%s's own process takes less CPU for a million events at 1,000/s: %s s against %s", seconds)},
	{"steady", CaseSteady, cpu("postgres"), false, saying("%s costs Postgres less CPU for a million events at 1,000/s: %s s against %s", seconds)},
	{"steady", CaseSteady, cpu("kafka"), false, saying("%s costs Kafka less CPU for a million events at 1,000/s: %s s against %s", seconds)},
	{"steady", CaseSteady, memory, false, saying("%s needs less memory at 1,000/s: %s MB against %s", megabytes)},
	{"steady", CaseOpen, longest(received), false, saying("%s has the shorter longest wait beside an open transaction: %s ms against %s", millis)},
}

func saying(format string, show func(float64) string) func(string, float64, float64) string {
	return func(system string, theirs, ours float64) string {
		return fmt.Sprintf(format, system, show(theirs), show(ours))
	}
}

// wins names everything in which a rival is ahead of Tandem, by medians. What
// sends from memory is no rival, it is the limit.
func (r Report) wins() string {
	if len(r.Results) == 0 {
		return missing
	}
	var b strings.Builder
	for _, c := range contests {
		ours := r.one(c.measure, c.name, Tandem).median(c.figure)
		for _, s := range r.of(c.measure, c.name) {
			theirs := s.median(c.figure)
			if s.system == Tandem || fromMemory[s.system] || ours == 0 || theirs == 0 {
				continue
			}
			if theirs != ours && (theirs > ours) == c.greatest {
				fmt.Fprintf(&b, "- %s.\n", c.say(s.system, theirs, ours))
			}
		}
	}
	if b.Len() == 0 {
		return "In nothing that was measured here.\n"
	}
	return b.String()
}
