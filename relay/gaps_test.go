package relay_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// A window is read by ranges of positions where it is dense, and by what is left
// where it is not: over stretches of both, gaps that are longer than a range, and
// events that belong to an earlier window or are not committed, nothing is left out
// and nothing comes twice.
func TestAWindowWithGapsIsReadWhole(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	m := newMemory(3)
	cfg := l.config(t, m)
	cfg.PageEvents = 64
	stretch := func(events, every int) { // events of which every so many-th is committed
		l.exec(t, `DO $$ BEGIN FOR n IN 1..`+strconv.Itoa(events)+` LOOP
			PERFORM nextval('tandem.log_position') FROM generate_series(2, `+strconv.Itoa(every)+`);
			INSERT INTO tandem.log (topic, key, payload) VALUES ('orders', 'k' || n % 7, n::text::bytea);
		END LOOP; END $$`)
	}
	stretch(300, 1)
	drain(t, cfg)
	require.Len(t, m.all(), 300)

	tx, err := l.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `INSERT INTO tandem.log (topic, key, payload) SELECT 'orders', 'late' || n % 9, n::text::bytea FROM generate_series(1, 500) AS n`)
	require.NoError(t, err)
	for _, every := range []int{1, 5, 1, 200, 2, 1, 3, 40, 1} {
		stretch(200, every)
	}
	drain(t, cfg)
	require.Len(t, m.all(), 300+9*200)
	require.NoError(t, tx.Commit(t.Context()))
	stretch(150, 1)
	drain(t, cfg)
	seen := map[int64]bool{}
	for _, r := range m.all() {
		require.False(t, seen[r.Position], "position %d came twice", r.Position)
		seen[r.Position] = true
	}
	require.Len(t, seen, 300+9*200+500+150)
	requireOrderedByKey(t, m, "orders", len(seen))
}
