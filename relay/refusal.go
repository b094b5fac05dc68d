package relay

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// refusals of a topic: single records that the broker will not take. One is
// parked, and its key held. But where record after record is refused the records
// are not at fault: the topic's limits are, and to park a stream key by key would
// make its end worse than its beginning. So a refused record is only suspected
// at first. It is parked when another record of the topic is accepted, or when
// suspectTime has passed without so many refusals, and what comes after it is set
// aside then; with the twentieth of different records in a row the topic itself is
// set aside, those parked on the way included.
type refusals struct {
	run       int       // different records refused, none accepted between
	suspects  []suspect // not decided
	followers []*item   // of their keys: stored before them, they could be sent before
	since     time.Time // when the first suspect was refused
	parked    []int64   // positions parked in this run
	accepted  bool      // a record, since the flow began
	again     map[string]struct{}
}

type suspect struct {
	*item
	err error
}

const (
	refusalsInARow = 20
	suspectTime    = 500 * time.Millisecond
)

// refuse is told of a record that stood alone and was refused.
func (tp *topic) refuse(it *item, err error) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if tp.dismiss(it, err) {
		tp.leave(1)
		return
	}
	f, flowing := it.from.(*flow)
	if tp.aside && !flowing { // it was on its way when the topic was found to be at fault
		tp.keepAside([]*item{it}, nil)
		tp.leave(1)
		return
	}
	tp.bar(it)
	tp.special.Store(true)
	if len(tp.suspects) == 0 {
		tp.refusals.since = tp.now()
	}
	tp.suspects = append(tp.suspects, suspect{it, err})
	if flowing {
		f.doubt(1)
	}
	if !slices.Contains(tp.parked, it.Position) {
		tp.run++
	}
	if tp.run < refusalsInARow {
		notify(tp.arrived)
		return
	}
	tp.refusing = true
	why := fmt.Errorf("it refuses record after record, %d of them: %w", tp.run, err)
	tp.fails(why)
	for _, position := range tp.parked {
		tp.asides.add(asideEntry{Position: position, State: stateWaiting, Stored: true, Reason: why.Error()})
	}
	tp.acquit()
	tp.putAside(why)
}

// bar holds the key of a refused event, also against what a flow has fetched.
func (tp *topic) bar(it *item) {
	key, ok := it.key()
	if !ok {
		return
	}
	tp.hold(key)
	if tp.again == nil {
		tp.again = map[string]struct{}{}
	}
	tp.again[key] = struct{}{}
}

// follows tells whether the event is behind a suspect.
func (tp *topic) follows(it *item) bool {
	key, ok := it.key()
	return ok && slices.ContainsFunc(tp.suspects, func(s suspect) bool {
		suspected, ok := s.key()
		return ok && suspected == key
	})
}

// acquit lets the suspects wait with their topic.
func (tp *topic) acquit() {
	items := make([]*item, 0, len(tp.suspects)+len(tp.followers))
	for _, s := range tp.suspects {
		items = append(items, s.item)
		if f, ok := s.from.(*flow); ok {
			f.doubt(-1)
		}
	}
	items = append(items, tp.followers...)
	tp.suspects, tp.followers, tp.run, tp.parked = nil, nil, 0, nil
	tp.keepAside(items, nil)
	tp.leave(len(items))
}

// accept is told that the topic takes records.
func (tp *topic) accept() {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.accepted, tp.refusing = true, false
	tp.convict()
	tp.run, tp.parked = 0, nil
}

// decideInTime parks the suspects of a topic that does not tell by itself, and
// returns when to look again, zero if there are none.
func (tp *topic) decideInTime() time.Duration {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if len(tp.suspects) == 0 || tp.refusing {
		return 0
	}
	left := suspectTime - tp.now().Sub(tp.refusals.since)
	if left > 0 {
		return left
	}
	tp.convict()
	return 0
}

// convict parks the suspects. But where the topic refused record after record when
// the flow began, it may have been mended after they were refused: the next flow,
// which begins with a topic that takes records, decides.
func (tp *topic) convict() {
	if tp.flow != nil && tp.flow.trial {
		if len(tp.suspects) > 0 {
			tp.acquit()
			tp.wantFlow()
		}
		return
	}
	suspects, followers := tp.suspects, tp.followers
	tp.suspects, tp.followers = nil, nil
	for _, s := range suspects {
		if !slices.Contains(tp.parked, s.Position) {
			tp.parked = append(tp.parked, s.Position)
		}
		if f, ok := s.from.(*flow); ok {
			f.doubt(-1)
		}
		tp.park(s.item, s.err)
	}
	tp.stats.held.Add(int64(len(followers)))
	tp.setAside(followers, asideEntry{State: stateWaiting})
	tp.leave(len(suspects) + len(followers))
}

// dismiss ends the way of a refused event that is not worth an operator's time.
func (tp *topic) dismiss(it *item, err error) bool {
	switch {
	case it.once != atLeastOnce:
		tp.lose([]*item{it}, err)
	case it.Replay != 0: // it was published before; who replays it counts
		if q, ok := it.from.(*replay); ok {
			q.gaveUp(err, "id", uuid.UUID(it.ID).String(), "topic", it.Topic, "position", it.Position)
		}
		tp.done([]*item{it})
	default:
		return false
	}
	return true
}

// park sets an event aside for an operator to decide, and holds its key.
func (tp *topic) park(it *item, err error) {
	if tp.dismiss(it, err) {
		return
	}
	what := asideEntry{State: stateParked, Reason: err.Error(), Attempts: 1}
	var refusal *PublishError
	if errors.As(err, &refusal) {
		what.Reason, what.Hint = refusal.Err.Error(), refusal.Hint
	}
	tp.bar(it)
	tp.stats.parked.Add(1)
	tp.log.Warn("an event is parked, and its key held", "id", uuid.UUID(it.ID).String(), "topic", it.Topic,
		"key", string(it.Key), "position", it.Position, "error", err)
	tp.setAside([]*item{it}, what)
}
