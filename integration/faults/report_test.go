package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// report is what a run comes to, or many of them.
type report struct {
	runs, failed                     int
	faults                           map[string]int
	events, records, repeated        int
	effects, parked, held            int
	onceSent, onceLost, rolledBack   int
	unknownCommitted, unknownMissing int
}

func (r *run) report(h *history) report {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := report{runs: 1, faults: maps.Clone(r.happened)}
	if len(r.violations) > 0 {
		s.failed = 1
	}
	if h == nil {
		return s
	}
	x := h.index()
	s.events, s.records, s.effects = len(h.facts), len(h.appearances), len(h.effects)
	s.repeated = len(h.appearances) - len(x.records)
	for _, state := range h.parked {
		if state == "parked" {
			s.parked++
		} else {
			s.held++
		}
	}
	for _, f := range h.facts {
		if f.Kind == once && len(x.records[f.ID]) > 0 {
			s.onceSent++
		} else if f.Kind == once {
			s.onceLost++
		}
	}
	for _, o := range h.ops {
		if o.outcome == rolledBack {
			s.rolledBack++
		}
		if o.outcome == unknown && len(o.drafts) > 0 && !o.drafts[0].undone {
			if _, there := x.facts[o.drafts[0].id]; there {
				s.unknownCommitted++
			} else {
				s.unknownMissing++
			}
		}
	}
	return s
}

// sum is of many runs.
type sum struct {
	mu sync.Mutex
	report
}

func (s *sum) add(r report) (runs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults == nil {
		s.faults = map[string]int{}
	}
	for name, n := range r.faults {
		s.faults[name] += n
	}
	s.runs, s.failed = s.runs+r.runs, s.failed+r.failed
	s.events, s.records, s.repeated = s.events+r.events, s.records+r.records, s.repeated+r.repeated
	s.effects, s.parked, s.held = s.effects+r.effects, s.parked+r.parked, s.held+r.held
	s.onceSent, s.onceLost, s.rolledBack = s.onceSent+r.onceSent, s.onceLost+r.onceLost, s.rolledBack+r.rolledBack
	s.unknownCommitted, s.unknownMissing = s.unknownCommitted+r.unknownCommitted, s.unknownMissing+r.unknownMissing
	return s.runs
}

func (s *sum) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := 0
	var names strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		all += s.faults[name]
		fmt.Fprintf(&names, "\n%7d %s", s.faults[name], name)
	}
	return fmt.Sprintf(`%d runs, %d of them failed, %d faults
%7d events committed; %d transactions rolled back; of those whose outcome the writer did not know %d were committed and %d were not
%7d records, of them %d repeated; %d events parked, %d held
%7d at-most-once events sent, %d lost
%7d effects%s`, s.runs, s.failed, all, s.events, s.rolledBack, s.unknownCommitted, s.unknownMissing,
		s.records, s.repeated, s.parked, s.held, s.onceSent, s.onceLost, s.effects, names.String())
}
