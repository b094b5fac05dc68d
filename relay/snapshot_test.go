package relay

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSnapshotXmax(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{"3:3:": 3, "10:20:10,15": 20, "18446744073709551614:18446744073709551615:": 1<<64 - 1} {
		got, err := snapshotXmax(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "3", "3:3", "3::", "3:x:", "3:-1:", "1:2:3:4", "1:18446744073709551616:"} {
		_, err := snapshotXmax(text)
		require.ErrorContains(t, err, fmt.Sprintf("%q", text))
	}
}

func FuzzSnapshotXmax(f *testing.F) {
	f.Add("3:3:")
	f.Add("10:20:10,15")
	f.Add("::")
	f.Fuzz(func(t *testing.T, text string) {
		xmax, err := snapshotXmax(text)
		if err == nil {
			again, err := snapshotXmax(fmt.Sprintf("0:%d:", xmax))
			require.NoError(t, err)
			require.Equal(t, xmax, again)
		}
	})
}

// However many anchors are made, the bound for any snapshot is one that was true
// of it, never falls as snapshots get newer, and is not far behind for a recent one.
func TestAnchorsAlwaysBoundFromBelow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all, kept anchors
		a := anchor{tx: 3}
		for range rapid.IntRange(0, 500).Draw(t, "anchors") {
			a.tx += rapid.Uint64Range(1, 10).Draw(t, "transactions")
			a.position += rapid.Int64Range(0, 10).Draw(t, "positions")
			all = append(all, a)
			kept = kept.add(a)
			require.LessOrEqual(t, len(kept), 64)
			require.Equal(t, a, kept[len(kept)-1])
		}
		require.True(t, slices.IsSortedFunc(kept, func(a, b anchor) int { return int(a.tx) - int(b.tx) }))
		last := int64(0)
		for xmax := uint64(0); xmax <= a.tx+1; xmax++ {
			got := kept.below(xmax)
			require.LessOrEqual(t, got, all.below(xmax), "above what is known for xmax %d", xmax)
			require.GreaterOrEqual(t, got, last)
			last = got
		}
		require.Equal(t, a.position, last)
	})
}
