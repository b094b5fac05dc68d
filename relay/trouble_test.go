package relay

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTroubleLogsEachChangeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		tr := newTrouble(slog.New(slog.NewTextHandler(&out, nil)), time.Now)
		lines := func() int { return strings.Count(out.String(), "\n") }

		tr.over("all is well")
		require.Zero(t, lines(), "nothing was wrong")
		for range 100 {
			tr.failed("it fails", errors.New("one"))
			<-time.After(time.Second)
		}
		require.Equal(t, 1, lines())
		tr.failed("it fails", errors.New("two"))
		require.Equal(t, 2, lines())
		tr.over("all is well")
		require.Equal(t, 3, lines())
		require.Contains(t, out.String(), "attempts=101 after=1m40s")
		tr.over("all is well")
		require.Equal(t, 3, lines())
		tr.failed("it fails", errors.New("two"))
		require.Equal(t, 4, lines(), "it is news again")
	})
}

// How long a topic has been refused must not count the broker's outage before.
func TestTroubleOfAnotherKindBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrouble(slog.New(slog.DiscardHandler), time.Now)
		tr.failed("no answer", errors.New("timeout"))
		<-time.After(time.Hour)
		require.Equal(t, time.Hour, tr.failed("no answer", errors.New("timeout")))
		require.Zero(t, tr.failed("refused", errors.New("unknown topic")))
		<-time.After(time.Second)
		require.Equal(t, time.Second, tr.failed("refused", errors.New("unknown topic")))
	})
}

func TestBackoffDoublesUpToASecond(t *testing.T) {
	t.Parallel()
	var b backoff
	for _, want := range []int{20, 40, 80, 160, 320, 640, 1000, 1000} {
		require.Equal(t, time.Duration(want)*time.Millisecond, b.next())
	}
	b.reset()
	require.Equal(t, 20*time.Millisecond, b.next())
}
