package relay

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newWatcher(cfg Config) (*watcher, *bytes.Buffer) {
	var said bytes.Buffer
	return &watcher{term: &term{Relay: &Relay{cfg: cfg}, log: slog.New(slog.NewTextHandler(&said, nil))}}, &said
}

func TestALimitIsSaidOnceWhenPassedAndOnceWhenOver(t *testing.T) {
	t.Parallel()
	w, said := newWatcher(Config{WarnBacklogBytes: 1000, WarnBacklogAge: time.Minute})
	for _, b := range []Backlog{{LogBytes: 999, Age: time.Minute}, {LogBytes: 1001}, {LogBytes: 2000}, {LogBytes: 3000, Age: time.Hour}, {LogBytes: 3000, Age: 2 * time.Hour}} {
		w.warn(&b)
	}
	require.Equal(t, 2, strings.Count(said.String(), "level=WARN"), said)
	last := Backlog{LogBytes: 3000, Age: time.Hour}
	w.warn(&last)
	require.Len(t, last.Warnings, 2)
	require.Contains(t, last.Warnings[0], "3000 bytes")
	require.Contains(t, last.Warnings[1], "1h0m0s")
	for _, b := range []Backlog{{LogBytes: 500}, {LogBytes: 500}} {
		w.warn(&b)
		require.Empty(t, b.Warnings)
	}
	require.Equal(t, 2, strings.Count(said.String(), "level=INFO"), said)
}

func TestWithoutLimitsNothingIsSaid(t *testing.T) {
	t.Parallel()
	w, said := newWatcher(Config{})
	b := Backlog{LogBytes: 1 << 60, Age: 1000 * time.Hour}
	w.warn(&b)
	require.Empty(t, b.Warnings)
	require.Empty(t, said.String())
}

// The time left follows from the growth of the last minutes; there is none
// while the log shrinks.
func TestTheTimeUntilTheDiskIsFull(t *testing.T) {
	t.Parallel()
	w, _ := newWatcher(Config{DiskBytes: 10_000})
	began := time.Now()
	at := func(seconds int, bytes int64) Backlog {
		b := Backlog{Measured: began.Add(time.Duration(seconds) * time.Second), LogBytes: bytes}
		w.grow(&b)
		return b
	}
	require.Zero(t, at(0, 1000).DiskFull)
	require.Zero(t, at(10, 2000).Growth, "ten seconds tell nothing")
	b := at(50, 6000)
	require.InDelta(t, 100, b.Growth, 0.1)
	require.Equal(t, 40*time.Second, b.DiskFull)
	require.Equal(t, time.Second, at(60, 20_000).DiskFull, "it is full; zero would mean that it is not known")
	b = at(400, 3000) // the first ones are forgotten
	require.Zero(t, b.DiskFull)
	require.Zero(t, b.Growth)
	require.Len(t, w.sizes, 1)
}

func TestTheOffsetOfTheDatabasesClock(t *testing.T) {
	t.Parallel()
	asked := time.Now()
	answered := asked.Add(100 * time.Millisecond)
	require.Zero(t, offset(asked, answered, asked.Add(20*time.Millisecond)), "both clocks may be right")
	require.Equal(t, 2*time.Second, offset(asked, answered, asked.Add(2050*time.Millisecond)))
	require.Equal(t, -2*time.Second, offset(asked, answered, asked.Add(-1950*time.Millisecond)))
}
