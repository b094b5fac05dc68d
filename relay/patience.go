package relay

import "time"

// patience decides for how long events wait in memory for a topic or partition
// that cannot be written to, before they are set aside: Config.TopicTimeout, or
// less when they take the memory that the others need.
//
// A topic that is missing or forbidden is alone in its trouble. Everything else,
// no answer, no leader, too few replicas, may be the whole cluster's, and then
// the log is a better place to wait than a table: such events are set aside only
// when others have been served all the while. What was on its way when an outage
// began may still be acknowledged, so that the last acknowledgement must be
// fresh. When memory is short the others may be idle for want of events: then it
// is enough that none of them fails.
type patience struct {
	*term
	trouble *trouble
	failing bool
	acks    int64     // of all lanes, when they were last seen to change
	served  time.Time // since when others are served; zero while they are not
	fresh   time.Time // when one of them was last seen to be
}

// failed tells whether patience is at its end.
func (p *patience) failed(message string, err error) bool {
	now, pressed := p.now(), p.tracker.pressed()
	if verdict(err) == RefusedTopic {
		lasts := p.trouble.failed("the topic cannot be written to; its events wait", err)
		return lasts > p.cfg.TopicTimeout || pressed && lasts > time.Second
	}
	p.trouble.failed(message, err)
	acks := p.acked.Load()
	if !p.failing {
		p.failing, p.acks, p.served = true, acks, time.Time{}
		p.failures.Add(1)
		return false
	}
	alone := pressed && p.failures.Load() == 1
	switch {
	case acks != p.acks:
		p.acks, p.fresh = acks, now
		if p.served.IsZero() {
			p.served = now
		}
	case now.Sub(p.fresh) > p.cfg.TopicTimeout/2 && !alone:
		p.served = time.Time{}
	}
	if p.served.IsZero() {
		return false
	}
	served := now.Sub(p.served)
	return served > p.cfg.TopicTimeout || pressed && served > time.Second
}

// over ends the trouble, which may be none.
func (p *patience) over(message string) {
	p.end()
	p.trouble.over(message)
}

// end takes the trouble off the books, however it ended.
func (p *patience) end() {
	if p.failing {
		p.failing = false
		p.failures.Add(-1)
	}
}
