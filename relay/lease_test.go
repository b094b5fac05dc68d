package relay

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTrustEndsBeforeTheLeaseDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lease{ttl: 5 * time.Second, started: time.Now()}
		require.Equal(t, 4500*time.Millisecond, l.left(time.Now()))
		<-time.After(4499 * time.Millisecond) // of the bubble's clock
		require.Positive(t, l.left(time.Now()))
		<-time.After(time.Millisecond)
		require.LessOrEqual(t, l.left(time.Now()), time.Duration(0))
		l.started = time.Now()
		require.Positive(t, l.left(time.Now()))
		l.lost = true
		require.Zero(t, l.left(time.Now()))
	})
}

// Either clock ends the trust. time.Time keeps both; one without its monotonic
// part differs from one with it only by the wall.
func TestTrustNeedsBothClocks(t *testing.T) {
	t.Parallel()
	started := time.Now()
	l := &lease{ttl: 5 * time.Second, started: started}

	// A virtual machine was suspended: the monotonic clock stood still, and the
	// wall clock was set right when it woke.
	require.LessOrEqual(t, l.left(started.Round(0).Add(time.Hour)), time.Duration(0))

	// While both run they agree, and the later one is believed.
	require.Equal(t, 3500*time.Millisecond, l.left(started.Add(time.Second)))
	require.LessOrEqual(t, l.left(started.Add(10*time.Second)), time.Duration(0))
}
