package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A key is of one client, and what a client did not take is not expected.
func TestNumbersAreOfOneClientEach(t *testing.T) {
	n := newNumbers(3)
	keys := map[string]int{}
	var taken []int
	for _, client := range []int{0, 2, 2, 0, 2} {
		number := n.peek(client)
		if owner, ok := keys[Key(number)]; ok {
			require.Equal(t, owner, client)
		}
		keys[Key(number)] = client
		taken = append(taken, number)
		n.take(client)
	}
	a := n.auditor()
	require.Equal(t, Audit{Expected: 5, Lost: 5}, a.Result())
	for _, number := range taken {
		require.Equal(t, number, a.Record([]byte(Key(number)), Payload(number, 100)))
	}
	require.True(t, a.Complete())
	require.True(t, a.Result().Clean())
	require.Equal(t, -1, a.Record([]byte(Key(1)), Payload(1, 100)), "client 1 took none")
	require.Equal(t, Audit{Expected: 5, Strange: 1}, a.Result())
	require.Equal(t, 0, Keys%newNumbers(MaxClients-1).width)
}

func TestTenthsAreTimedEach(t *testing.T) {
	clock := tenths{total: 100}
	clock.add(25, 2*time.Second) // one and two at once
	clock.add(5, 3*time.Second)
	clock.add(70, 10*time.Second)
	var at []int64
	for i := range clock.at {
		at = append(at, clock.at[i].Load()/int64(time.Second))
	}
	require.Equal(t, []int64{2, 2, 2, 3, 10, 10, 10, 10, 10, 10, 10}, at)
	require.Equal(t, 10.0, clock.rates()[2])
}

func TestALapCountsFromTheFirstCommit(t *testing.T) {
	over := 0
	l := lap{total: 10, over: func() { over++ }}
	l.done(4)
	require.Zero(t, over)
	l.done(6)
	l.done(1) // delivered again
	require.Equal(t, 1, over)
	seconds, rate := l.rate()
	require.InDelta(t, 6, seconds*rate, 1e-6)
}

func TestMedians(t *testing.T) {
	require.Zero(t, Median(nil))
	require.Equal(t, 2.0, Median([]float64{9, 1, 2}))
	require.Equal(t, 1.5, Median([]float64{9, 1, 2, 1}))
	require.Equal(t, 0.5, medianRatio([]float64{1, 2, 30}, []float64{2, 4, 1}))
}
