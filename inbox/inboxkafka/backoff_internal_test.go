package inboxkafka

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// Pauses double up to the greatest, each between half of itself and all of it, and
// begin anew after a success.
func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := backoff{min: 100 * time.Millisecond, max: 5 * time.Second}
		for range 2 {
			for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
				want *= time.Millisecond
				began := time.Now()
				require.True(t, b.wait(t.Context()))
				require.GreaterOrEqual(t, time.Since(began), want/2)
				require.LessOrEqual(t, time.Since(began), want)
			}
			b.reset()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.False(t, b.wait(ctx))
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
	})
}

// A message's own pauses, after any number of attempts and with any settings, stay
// within RetryMin's half and RetryMax.
func TestThePauseOfAMessage(t *testing.T) {
	t.Parallel()
	// Doubled eighteen times it is 262 µs more than 64 bits hold.
	c := Config{RetryMin: 1<<46 + 1, RetryMax: 24 * time.Hour}
	require.GreaterOrEqual(t, c.pause(19), c.RetryMax/2)
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.Int64Range(int64(time.Millisecond), int64(24*time.Hour)).Draw(t, "RetryMin")
		most := rapid.Int64Range(least, int64(24*time.Hour)).Draw(t, "RetryMax")
		c := Config{RetryMin: time.Duration(least), RetryMax: time.Duration(most)}
		attempts := rapid.OneOf(rapid.IntRange(1, 70), rapid.IntRange(1, 1<<40)).Draw(t, "attempts")
		pause := c.pause(attempts)
		require.LessOrEqual(t, pause, c.RetryMax)
		require.GreaterOrEqual(t, pause, c.RetryMin/2)
		if attempts == 1 {
			require.LessOrEqual(t, pause, c.RetryMin)
		}
		if attempts > 40 {
			require.GreaterOrEqual(t, pause, c.RetryMax/2)
		}
	})
}

// Lanes are due at their time and not before; who waits for an operator never is.
func TestLanesAreDueInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		now := time.Now()
		require.Equal(t, time.Hour, l.until(now, time.Hour))
		l.hold("later", apply.Key, now.Add(10*time.Second))
		l.hold("sooner", apply.Key, now.Add(3*time.Second))
		l.hold("parked", apply.Key, time.Time{})
		require.Empty(t, l.due(now))
		require.Equal(t, 3*time.Second, l.until(now, time.Hour))
		require.Equal(t, time.Second, l.until(now, time.Second))
		<-time.After(3 * time.Second)
		require.Equal(t, []apply.Lane{"sooner"}, l.due(time.Now()))
		require.LessOrEqual(t, l.until(time.Now(), time.Hour), time.Duration(0))
		l.free("sooner")
		<-time.After(7 * time.Second)
		require.Equal(t, []apply.Lane{"later"}, l.due(time.Now()))
		l.hold("later", apply.Key, time.Time{}) // parked now
		require.Empty(t, l.due(time.Now().Add(time.Hour)))
	})
}
