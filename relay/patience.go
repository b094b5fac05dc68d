package relay

import "time"

// patience decides for how long events wait in memory for a topic or partition
// that cannot be written to, before they are set aside: Config.TopicTimeout, or
// less when they take the memory that the others need.
//
// A topic that is missing or forbidden is alone in its trouble. Everything else,
// no answer, no leader, too few replicas, may be the whole cluster's, and then
// the log is a better place to wait than a table: such events are set aside only
// when others have been served for as long.
type patience struct {
	*term
	trouble *trouble
	failing bool
	acks    int64     // of all lanes, when this began to fail
	served  time.Time // when others were seen to be served since
}

// failed tells whether patience is at its end.
func (p *patience) failed(message string, err error) bool {
	pressed := p.tracker.pressed()
	if verdict(err) == RefusedTopic {
		return p.trouble.failed("the topic cannot be written to; its events wait", err) > p.cfg.TopicTimeout || pressed
	}
	p.trouble.failed(message, err)
	acks := p.acked.Load()
	switch {
	case !p.failing:
		p.failing, p.acks, p.served = true, acks, time.Time{}
		return false
	case acks == p.acks:
		return false
	case p.served.IsZero():
		p.served = p.now()
	}
	served := p.now().Sub(p.served)
	return served > p.cfg.TopicTimeout || pressed && served > time.Second
}

func (p *patience) over(message string) {
	p.failing = false
	p.trouble.over(message)
}
