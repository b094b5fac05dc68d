package relay

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// impatient is a lane's patience, in a term with nothing else.
func impatient() *patience {
	t := &term{Relay: &Relay{cfg: Config{TopicTimeout: 10 * time.Second}, now: time.Now}, tracker: newTracker(checkpoint{}, 1000)}
	return &patience{term: t, trouble: newTrouble(slog.New(slog.DiscardHandler), time.Now)}
}

// lasts fails every 100 ms, as a lane that retries, and returns after how long
// patience was at its end; 0 is not within an hour. Between two failures others may
// be served.
func (p *patience) lasts(err error, between func(passed time.Duration)) time.Duration {
	began := time.Now()
	for passed := time.Duration(0); passed < time.Hour; passed = time.Since(began) {
		if p.failed("no answer", err) {
			return passed
		}
		between(passed)
		<-time.After(100 * time.Millisecond) // of the bubble's clock
	}
	return 0
}

func TestPatience(t *testing.T) {
	t.Parallel()
	away, missing := errors.New("no answer"), &PublishError{Verdict: RefusedTopic, Err: errors.New("unknown")}
	press := func(p *patience) { p.tracker.bytes = 501 }
	for name, c := range map[string]struct {
		err     error
		prepare func(p *patience)
		between func(p *patience, passed time.Duration)
		want    time.Duration
	}{
		"a missing topic":                     {err: missing, want: 10*time.Second + 100*time.Millisecond},
		"a missing topic, memory being short": {err: missing, prepare: press, want: 1100 * time.Millisecond},
		"nobody is served":                    {err: away},
		"nobody is served, and others fail": {err: away, prepare: func(p *patience) {
			press(p)
			p.failures.Add(1)
		}},
		"others are served": {
			err: away, between: func(p *patience, _ time.Duration) { p.acked.Add(1) },
			want: 10*time.Second + 200*time.Millisecond, // from the first failure after one was served
		},
		"others are served, memory being short": {
			err: away, prepare: press, between: func(p *patience, _ time.Duration) { p.acked.Add(1) },
			want: 1200 * time.Millisecond,
		},
		"what was on its way is acknowledged once": {
			err: away, between: func(p *patience, passed time.Duration) {
				if passed == time.Second {
					p.acked.Add(1)
				}
			},
		},
		"others are served from a minute on": {
			err: away, between: func(p *patience, passed time.Duration) {
				if passed >= time.Minute {
					p.acked.Add(1)
				}
			},
			want: time.Minute + 10*time.Second + 200*time.Millisecond,
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := impatient()
			if c.prepare != nil {
				c.prepare(p)
			}
			got := p.lasts(c.err, func(passed time.Duration) {
				if c.between != nil {
					c.between(p, passed)
				}
			})
			require.Equal(t, c.want, got, name)
			before := p.failures.Load()
			p.over("it goes on")
			p.end() // ending twice counts once
			require.GreaterOrEqual(t, p.failures.Load(), int64(0), name)
			require.LessOrEqual(t, before-p.failures.Load(), int64(1), name)
		})
	}
}

// However often saves fail, and wherever in a row of them, what was set aside is
// saved in the order in which that was said, nothing of it left out; but of several
// words on a stored event in one save the last.
func TestWhatIsSetAsideIsSavedInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := &asides{dirty: make(chan struct{}, 1)}
		var said, saved []asideEntry
		var gone, released []int64
		position := int64(0)
		save := func(failAt int) {
			taken := a.take()
			for n := 1; ; n++ {
				part, last := taken.next()
				require.LessOrEqual(t, len(part.entries), asidesPerSave)
				require.LessOrEqual(t, len(part.released), asidesPerSave)
				if n == failAt { // as saveWith does
					a.giveBack(taken)
					a.giveBack(part)
					return
				}
				saved, released = append(saved, part.entries...), append(released, part.released...)
				if last {
					return
				}
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				for range rapid.SampledFrom([]int{1, 2, 999, 1000, 1001, 2500}).Draw(t, "entries") {
					position++
					e := asideEntry{Position: position, State: stateWaiting}
					said = append(said, e)
					a.add(e)
				}
			case 1:
				gone = append(gone, position)
				a.release(position)
			case 2:
				save(rapid.IntRange(0, 4).Draw(t, "fails"))
			}
		}
		save(0)
		require.Equal(t, said, saved)
		require.Equal(t, gone, released)
	})
}
