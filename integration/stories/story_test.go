package stories_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// story is one consumer's.
type story struct {
	*world
	order childOrder
}

// suffer runs a consumer until it meets its fault, or until settled says that all
// is done and the fault has not come. What follows of the fault it waits for too:
// no process is left. The first request of a step always comes.
func (s *story) suffer(t *testing.T, f fault, settled func() bool) {
	t.Helper()
	t.Log(f)
	c := startConsumer(t, s.order, s.database, &f)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for {
		select {
		case at := <-c.met:
			s.fall(t, c, f, at, settled)
			return
		case <-deadline:
			require.Fail(t, "neither has the fault come nor is the work done")
		case <-c.exited:
			if len(c.met) == 0 {
				require.Fail(t, "the consumer has ended by itself")
			}
		case <-tick.C:
			switch {
			case f.count == 1 && f.step != "" && f.step != leaving, !settled():
			case f.step == leaving: // that comes when it is asked to
				require.True(t, c.terminate(t), "the consumer has left, and the fault has not come")
			case c.disarm():
				t.Log("the fault has not come")
				require.False(t, c.terminate(t))
				return
			}
		}
	}
}

// fall is what follows a fault.
func (s *story) fall(t *testing.T, c *consumer, f fault, at step, settled func() bool) {
	t.Helper()
	t.Logf("met at step %q", at)
	s.met.add(f, at)
	if f.action == kill {
		require.True(t, c.awaitExit(t))
		if !f.patient {
			s.bury(t, s.order.Consumer)
		}
		return
	}
	if f.action == freeze && !f.patient {
		s.bury(t, s.order.Consumer)
	}
	claimed := func() int {
		return s.count(`SELECT coalesce(sum(epoch), 0) FROM tandem.inbox_partition WHERE consumer = $1`, s.order.Consumer)
	}
	epochs := claimed()
	second := startConsumer(t, s.order, s.database, nil)
	if f.action == freeze {
		await(t, "the partitions of the frozen consumer are taken over", func() bool { return claimed() >= epochs+partitions })
		c.thaw(t)
	}
	await(t, "two consumers have done the work", settled)
	require.False(t, c.terminate(t))
	require.False(t, second.terminate(t))
}

// partitions is how many the topics of the stories have.
const partitions = 2

// finish runs a consumer that nothing happens to.
func (s *story) finish(t *testing.T, settled func() bool) {
	t.Helper()
	c := startConsumer(t, s.order, s.database, nil)
	await(t, "a consumer has done the work", settled)
	require.False(t, c.terminate(t))
}
