package relay_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/admin"
)

// inLeaves writes ten events to each of so many leaves, one after another.
func (l *log) inLeaves(t testing.TB, topic string, leaves int) {
	t.Helper()
	for range leaves {
		l.exec(t, `SELECT setval('tandem.log_position', ((last_value >> 17) + 1) << 17) FROM tandem.log_position`)
		l.fill(t, topic, 10)
	}
}

// leaves are those that hold events, oldest first, by the number of the leaf
// since the log's beginning.
func (l *log) leaves(t testing.TB) []int64 {
	t.Helper()
	rows, err := l.pool.Query(t.Context(), `SELECT DISTINCT position >> 17 AS leaf FROM tandem.log ORDER BY leaf`)
	require.NoError(t, err)
	leaves, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	return leaves
}

// operator has a relay's rights alone and no search_path.
func (l *log) operator(t testing.TB) *admin.Operator {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), l.config(t, newMemory(1)).Database)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(t.Context()) })
	op, err := admin.New(conn, "")
	require.NoError(t, err)
	return op
}

func TestTheNewestLeavesAreKept(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(2)
	cfg := l.config(t, m)
	cfg.KeepLeaves = 2
	l.inLeaves(t, "orders", 6) // leaves 1 to 5 are filled, 6 is being written
	require.EqualValues(t, 3, drain(t, cfg).Reclaimed)
	require.Equal(t, []int64{4, 5, 6}, l.leaves(t))
	kept, err := l.operator(t).CountReplay(t.Context(), admin.ReplaySelector{})
	require.NoError(t, err)
	require.EqualValues(t, 30, kept.Events)
	require.Equal(t, int64(4<<17+1), *kept.KeptFrom)

	// The ring comes round: leaf 18 is leaf 2 again.
	l.inLeaves(t, "orders", 12)
	drain(t, cfg)
	require.Equal(t, []int64{16, 17, 18}, l.leaves(t))
	cfg.KeepLeaves = 0
	drain(t, cfg)
	require.Equal(t, []int64{18}, l.leaves(t))
}

// As many as can be kept leave one for the writers to come to.
func TestAsManyLeavesAsTheRingAllows(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	cfg := l.config(t, newMemory(2))
	cfg.KeepLeaves = 14
	l.inLeaves(t, "orders", 16)
	drain(t, cfg)
	require.Len(t, l.leaves(t), 15)

	cfg.KeepLeaves = 15
	_, err := relay.New(cfg)
	require.ErrorContains(t, err, "Config.KeepLeaves is 15, it must be 0 to 14")
}
