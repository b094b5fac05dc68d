package inboxkafka

import (
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The offset that was asked for last is the one that is committed: lower ones too
// (a topic that was made anew), and never an older one after it.
func TestTheOffsetThatWasAskedForLastCounts(t *testing.T) {
	t.Parallel()
	var committed []int64
	state := &PartitionStats{mu: &sync.Mutex{}}
	o := newOffsets(func(offset int64) error { committed = append(committed, offset); return nil }, trouble{log: slog.Default()}, state)
	require.True(t, o.commitNow(t.Context(), 100))
	require.True(t, o.commitNow(t.Context(), 3))
	o.set(1)
	o.set(2)
	require.True(t, o.commitNow(t.Context(), 4))
	go o.run()
	o.close()
	require.Equal(t, []int64{100, 3, 4}, committed)
}

// Offsets that come one upon the other are committed now and then, and the last
// one at once when there will be no more.
func TestOffsetsAreCommittedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var committed []int64
		var at []time.Duration
		started := time.Now()
		o := newOffsets(func(offset int64) error {
			committed, at = append(committed, offset), append(at, time.Since(started))
			return nil
		}, trouble{log: slog.Default()}, &PartitionStats{mu: &sync.Mutex{}})
		go o.run()
		for offset := range int64(12) {
			o.set(offset)
			synctest.Wait()
			<-time.After(commitEvery * 29 / 100)
		}
		o.close()
		require.Equal(t, []int64{0, 3, 6, 10, 11}, committed)
		require.Equal(t, []time.Duration{0, commitEvery, 2 * commitEvery, 3 * commitEvery, 12 * 29 * commitEvery / 100}, at)
	})
}
