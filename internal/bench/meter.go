package bench

import (
	"time"

	"github.com/tandem-outbox/tandem/internal/processes"
)

// meter is what processes had used of processors at a time.
type meter struct {
	site *Site
	self time.Duration
	them map[string]time.Duration // the servers on this machine
}

func (s *Site) meter() meter {
	m := meter{site: s, them: map[string]time.Duration{}}
	for name, pid := range s.pids {
		m.them[name] = processes.TreeCPU(pid)
	}
	m.self = cpuTime()
	return m
}

// spent is what they have used since then, in seconds; this process is called
// after what it does.
func (m meter) spent(self string) map[string]float64 {
	now := m.site.meter()
	spent := map[string]float64{self: (now.self - m.self).Seconds()}
	for name, used := range now.them {
		spent[name] = (used - m.them[name]).Seconds()
	}
	return spent
}
