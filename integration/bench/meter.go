package main

import (
	"net"
	"net/url"

	"github.com/tandem-outbox/tandem/internal/processes"
)

// meter takes the CPU time of servers that run on this machine.
type meter struct{ postgres, kafka int }

func newMeter(s *servers) meter {
	var m meter
	if u, err := url.Parse(s.database); err == nil {
		m.postgres = processes.Listener(u.Port())
	}
	if _, port, err := net.SplitHostPort(s.brokers[0]); err == nil {
		m.kafka = processes.Listener(port)
	}
	return m
}

// read is what they have spent, in seconds; what cannot be told is not in it.
func (m meter) read() map[string]float64 {
	spent := map[string]float64{}
	for name, pid := range map[string]int{"postgres": m.postgres, "kafka": m.kafka} {
		if pid != 0 {
			spent[name] = processes.TreeCPU(pid).Seconds()
		}
	}
	return spent
}

// since is what they have spent since an earlier reading.
func (m meter) since(before map[string]float64) map[string]float64 {
	spent := m.read()
	for name := range spent {
		spent[name] -= before[name]
	}
	return spent
}
