package relay_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// stuck is a broker that takes requests and never answers.
type stuck struct {
	*memory
	asked chan struct{}
}

func newStuck() *stuck { return &stuck{memory: newMemory(1), asked: make(chan struct{}, 100)} }

func (s *stuck) Publish(ctx context.Context, _ string, _ int, _ []*relay.Event) error {
	s.asked <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (l *log) leaseIsFree(t testing.TB) bool {
	t.Helper()
	return l.int(t, `SELECT count(*) FROM tandem.lease WHERE expires_at <= now()`) == 1
}

// A drain that times out leaves time to give the lease up.
func TestADrainThatTimesOutHandsOver(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	s := newStuck()
	cfg := l.config(t, s)
	cfg.Lease, cfg.DrainTimeout = 3*time.Second, 50*time.Millisecond
	_, stop := start(t, cfg)
	<-s.asked
	require.NoError(t, stop())
	require.True(t, l.leaseIsFree(t))
	drain(t, l.config(t, s.memory))
	require.Equal(t, []string{"1"}, payloads(s.all()))
}

func TestAbortCutsTheDrain(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	s := newStuck()
	cfg := l.config(t, s)
	cfg.Lease, cfg.DrainTimeout = time.Minute, time.Minute
	r, stop := start(t, cfg)
	<-s.asked
	time.AfterFunc(10*time.Millisecond, r.Abort)
	require.ErrorContains(t, stop(), "cut short")
}

func TestUntilEmptyWaitsForTheLeaseOfAnother(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(1)
	cfg := l.config(t, m)
	cfg.Lease = time.Minute
	_, stop := start(t, cfg)
	l.add(t, "orders", "k", "1")
	m.await(t, 1)

	second := cfg
	// Long enough for the database to be reached by a busy machine: what is to
	// be waited for in vain is the lease.
	second.UntilEmpty, second.StartTimeout = true, 10*time.Second
	var unreachable *relay.UnreachableError
	require.ErrorAs(t, relay.Run(t.Context(), second), &unreachable)
	require.Equal(t, "lease", unreachable.What)

	second.StartTimeout = time.Minute
	result := make(chan error, 1)
	r, err := relay.New(second)
	require.NoError(t, err)
	go func() { result <- r.Run(t.Context()) }()
	require.Eventually(t, func() bool { return r.State() == relay.Standby }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, stop())
	require.NoError(t, <-result)
	require.True(t, l.leaseIsFree(t))
}

// Stopped at any moment of its start, of its work or of its standing by, a relay
// leaves neither a goroutine (TestMain looks) nor a session nor its lease behind.
func TestARelayMayBeStoppedAtAnyMoment(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	cfg := l.config(t, m)
	cfg.Lease, cfg.StartTimeout = 10*time.Minute, 10*time.Second
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // to be repeated
	sum := 0
	for i := range 200 {
		if i%10 == 0 {
			l.fill(t, "orders", 20)
			sum += 20
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(40_000))*time.Microsecond)
		require.NoError(t, relay.Run(ctx, cfg))
		cancel()
	}
	require.True(t, l.leaseIsFree(t))
	// A server needs a moment to see that a client has gone.
	l.await(t, `SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tandem relay%'`)
	drain(t, cfg)
	requireOrdered(t, m, sum)
}
