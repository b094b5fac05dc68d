package inboxkafka

import (
	"errors"
	"fmt"
	"time"
)

// patience is how long something may be out of order until Health tells:
// longer than a restart of Postgres or of a broker, a rebalance, or the time that
// a frozen owner's transaction lasts after it.
const patience = time.Minute

// standing is how a Consumer stands with its group.
type standing struct {
	state state
	since time.Time
	err   error // of the last attempt to be something better
}

type state string

const (
	doesNotRun state = ""
	isStarting state = "starting"
	isMember   state = "member" // with partitions or, for want of them, standing by
	isApart    state = "apart"  // cannot be a member
	isStopping state = "stopping"
)

func (s *stats) stand(now state, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standing.state != now {
		s.standing = standing{state: now, since: time.Now()}
	}
	s.standing.err = err
}

// silence is for how long the database has not answered the beat, which asks it
// also while there are no messages.
type silence struct {
	since time.Time // zero: it has answered
	err   error
}

func (s *stats) beaten(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.silence = silence{}
	case s.silence.since.IsZero():
		s.silence = silence{since: time.Now(), err: err}
	default:
		s.silence.err = err
	}
}

// Health returns nil while the Consumer does what it is there for: it is a
// member of its group, with partitions or standing by, and each of its
// partitions goes on. Else the error says what is wrong and for how long, of
// each partition that does not go on; what may pass (the database or a broker is
// away, the owner before is not done) is told after a minute.
//
// A partition that a message holds, as Config.Hold has it, is not ill, and
// neither are keys that wait: these are an operator's to decide, see
// [PartitionStats]. A handler that never returns is not told from one that takes
// long; the lag tells.
//
// It is for readiness and for alarms. To restart the process for it would mend
// nothing: a Consumer survives by itself what can be survived, and Run returns
// what cannot.
func (c *Consumer) Health() error { return c.health(time.Now()) }

func (c *Consumer) health(now time.Time) error {
	standing, silence := c.stands()
	long := func(since time.Time) bool { return now.Sub(since) >= patience }
	told := func(since time.Time) time.Duration { return now.Sub(since).Round(time.Second) }
	switch s := standing; {
	case s.state == doesNotRun:
		return errors.New("inboxkafka: the consumer does not run")
	case s.state == isStarting && s.err != nil:
		return fmt.Errorf("inboxkafka: the consumer waits for what it needs: %w", s.err)
	case s.state == isStarting || s.state == isStopping:
		return fmt.Errorf("inboxkafka: the consumer is %s", s.state)
	case s.state == isApart && long(s.since):
		return fmt.Errorf("inboxkafka: the consumer cannot be a member of group %q, for %v now: %w", c.config.GroupID, told(s.since), s.err)
	}
	var errs []error
	for _, p := range c.Stats().Partitions {
		if p.State == "working" || p.policy || !long(p.Since) {
			continue
		}
		err := fmt.Errorf("inboxkafka: %s/%d is %s, for %v now: %s", p.Topic, p.Partition, p.State, told(p.Since), p.Why)
		if p.cause != nil {
			err = fmt.Errorf("%w: %w", err, p.cause)
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 && silence.err != nil && long(silence.since) {
		errs = append(errs, fmt.Errorf("inboxkafka: the database has not answered for %v: %w", told(silence.since), silence.err))
	}
	return errors.Join(errs...)
}

func (c *Consumer) stands() (standing, silence) {
	c.stats.mu.Lock()
	defer c.stats.mu.Unlock()
	return c.stats.standing, c.stats.silence
}
