package relay

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// schedule sends events when their time has come, by the database's clock. They
// have left their key's order: each goes when it is due, and holds nothing up.
type schedule struct {
	*term
	wake chan struct{} // something was scheduled, or has been settled

	mu       sync.Mutex
	inFlight map[int64]struct{}
	loose    int // at-most-once events under way, which are in no table any more
	asked    int // how often to look for what is due
	looked   int // up to which of them it did, and found nothing more
}

// mostInFlight bounds what is due and not settled yet, in events.
const mostInFlight = 4 * storedPerPage

func (s *schedule) sent(it *item) {
	s.stats.released.Add(1)
	s.asides.release(it.Position)
}

func (s *schedule) settle(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inFlight, it.Position)
	notify(s.wake)
}

// run ends when the term does, or the relay is told to stop.
func (s *schedule) run(taking, running context.Context) error {
	ctx, cancel := whileBoth(taking, running)
	defer cancel()
	trouble := newTrouble(s.log, s.now)
	for ctx.Err() == nil {
		wait, err := s.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			trouble.failed("cannot read scheduled events", err)
			wait = retryEvery
		default:
			trouble.over("scheduled events can be read again")
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		}
		timer.Stop()
	}
	return nil
}

// look sends what is due, and returns when to look again.
func (s *schedule) look(ctx context.Context) (time.Duration, error) {
	s.mu.Lock()
	asked := s.asked
	s.mu.Unlock()
	// What has been settled before this is gone from the table after it.
	inFlight := s.positions()
	if err := s.flush(ctx); err != nil {
		return 0, err
	}
	if len(inFlight) >= mostInFlight {
		return time.Hour, nil // settle wakes
	}
	items, err := s.store.due(ctx, inFlight)
	if err != nil {
		return 0, err
	}
	if len(items) > 0 {
		return 0, s.send(ctx, items)
	}
	s.mu.Lock()
	s.looked = asked
	s.mu.Unlock()
	var next *float64
	err = s.store.use(ctx, "read when the next event is due", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, s.sql.nextDue, inFlight).Scan(&next)
	})
	if err != nil || next == nil {
		return time.Hour, err // a new one wakes
	}
	if *next <= 0 { // it waits for the checkpoint
		return 50 * time.Millisecond, nil
	}
	// The clock of the database may be set: look now and then.
	return min(max(time.Duration(*next*float64(time.Second)), time.Millisecond), 10*time.Second), nil
}

func (s *schedule) positions() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	positions := make([]int64, 0, len(s.inFlight))
	for position := range s.inFlight {
		positions = append(positions, position)
	}
	return positions
}

// send hands events to their topics. Those to be sent at most once leave the
// table before: that is their claim.
func (s *schedule) send(ctx context.Context, items []*item) error {
	var once []int64
	now := s.databaseTime().UnixMicro()
	s.mu.Lock()
	for _, it := range items {
		it.from, it.scheduled, it.unordered = s, true, true
		if it.once == atLeastOnce || it.expires != 0 && it.expires <= now {
			s.inFlight[it.Position] = struct{}{}
		} else {
			it.from = nowhere{s}
			s.loose++
			once = append(once, it.Position)
		}
	}
	s.mu.Unlock()
	if len(once) > 0 {
		s.asides.release(once...)
		if err := s.flush(s.taking); err != nil { // a stop does not lose them
			return err
		}
	}
	s.dispatch(items)
	return nil
}

// nowhere is the source of an event that is stored no longer.
type nowhere struct{ *schedule }

func (n nowhere) sent(*item) {}
func (n nowhere) settle(*item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loose--
}

// ask has it look for what is due from now on; idle tells when nothing is left.
func (s *schedule) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	notify(s.wake)
}

func (s *schedule) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looked == s.asked && len(s.inFlight) == 0 && s.loose == 0
}

func (s *schedule) underWay() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loose
}
