package inboxkafka

import (
	"log/slog"
	"sync"
	"testing"

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
