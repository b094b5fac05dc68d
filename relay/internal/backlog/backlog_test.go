package backlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/relay/internal/backlog"
	"github.com/tandem-outbox/tandem/relay/internal/facts"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

const sqlFill = `INSERT INTO tandem.log (topic, key, payload) SELECT $1, 'k', 'abcdefghi' FROM generate_series(1, $2::int)`

func exec(t *testing.T, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

func snapshot(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var s string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT pg_current_snapshot()::text`).Scan(&s))
	return s
}

// A cursor inside a window, with transactions on either side of both snapshots.
func TestWhatLiesBeyondACursor(t *testing.T) {
	t.Parallel()
	url := testservers.Migrated(t)
	conn, slow, slower := connect(t, url), connect(t, url), connect(t, url)
	exec(t, conn, sqlFill, "before", 5) // 1 to 5
	exec(t, slow, `BEGIN`)
	exec(t, slow, sqlFill, "slow", 3) // 6 to 8
	at := facts.Cursor{Prev: snapshot(t, conn)}
	exec(t, conn, sqlFill, "window", 10) // 9 to 18
	exec(t, slow, `COMMIT`)
	exec(t, slower, `BEGIN`)
	exec(t, slower, sqlFill, "slower", 2) // 19, 20
	at.Cur, at.Done, at.High = snapshot(t, conn), 12, 20
	exec(t, slower, `COMMIT`)
	exec(t, conn, sqlFill, "after", 4) // 21 to 24

	c, err := backlog.Beyond(t.Context(), conn, "tandem", at, 100, time.Time{})
	require.NoError(t, err)
	require.EqualValues(t, 6+2+4, c.Events, "13 to 18 of the window, and what was not visible at its end")
	require.EqualValues(t, 12*10, c.Bytes)
	require.False(t, c.Estimated)
	require.Len(t, c.Topics, 3)
	require.Equal(t, "window", c.Topics[0].Topic)
	require.EqualValues(t, 6, c.Topics[0].Events)
	require.Less(t, c.Age(), time.Minute)
	require.False(t, c.Oldest.IsZero())

	at.Done = 0
	c, err = backlog.Beyond(t.Context(), conn, "tandem", at, 100, time.Time{})
	require.NoError(t, err)
	require.EqualValues(t, 3+10+2+4, c.Events)

	at = facts.Cursor{Prev: at.Prev}
	c, err = backlog.Beyond(t.Context(), conn, "tandem", at, 100, time.Time{})
	require.NoError(t, err)
	require.EqualValues(t, 3+10+2+4, c.Events, "between windows")

	c, err = backlog.Beyond(t.Context(), conn, "tandem", facts.Cursor{Prev: snapshot(t, conn)}, 100, time.Time{})
	require.NoError(t, err)
	require.Zero(t, c.Events)
	require.Zero(t, c.Age())
	require.Empty(t, c.Topics)

	c, err = backlog.Beyond(t.Context(), conn, "tandem", at, 100, c.Now.Add(-time.Hour))
	require.NoError(t, err)
	require.Zero(t, c.Events, "nothing was written an hour ago")
}

// Beyond the bound the sequence tells, and the mean of what was counted.
func TestALargeBacklogIsEstimated(t *testing.T) {
	t.Parallel()
	conn := connect(t, testservers.Migrated(t))
	exec(t, conn, sqlFill, "orders", 5000)
	at := facts.Cursor{Prev: "3:3:"}
	c, err := backlog.Beyond(t.Context(), conn, "tandem", at, 1000, time.Time{})
	require.NoError(t, err)
	require.True(t, c.Estimated)
	require.EqualValues(t, 5000, c.Events)
	require.EqualValues(t, 50_000, c.Bytes)
	require.EqualValues(t, 1000, c.Topics[0].Events)

	at.Cur, at.Done, at.High = snapshot(t, conn), 2000, 5000
	exec(t, conn, sqlFill, "orders", 7)
	c, err = backlog.Beyond(t.Context(), conn, "tandem", at, 1000, time.Time{})
	require.NoError(t, err)
	require.True(t, c.Estimated)
	require.EqualValues(t, 3000+7, c.Events)
}

func TestTheLogsSize(t *testing.T) {
	t.Parallel()
	conn := connect(t, testservers.Migrated(t))
	empty, leaves, err := backlog.Size(t.Context(), conn, "tandem")
	require.NoError(t, err)
	require.Zero(t, leaves)
	exec(t, conn, sqlFill, "orders", 1000)
	full, leaves, err := backlog.Size(t.Context(), conn, "tandem")
	require.NoError(t, err)
	require.Equal(t, 1, leaves)
	require.Greater(t, full, empty+50_000)
}

func TestWhatIsSetAside(t *testing.T) {
	t.Parallel()
	conn := connect(t, testservers.Migrated(t))
	exec(t, conn, `INSERT INTO tandem.deferred (position, created_at, id, topic, state, ordered, due_at, parked_at)
		SELECT n, now(), gen_random_uuid(), 'orders', CASE WHEN n <= 3 THEN 'parked' WHEN n <= 8 THEN 'waiting' ELSE 'scheduled' END, true, now(), CASE WHEN n <= 3 THEN now() END
		FROM generate_series(1, 30) AS n`)
	parked, waiting, scheduled, err := backlog.Aside(t.Context(), conn, "tandem", 20)
	require.NoError(t, err)
	require.Equal(t, []int64{3, 5, 20}, []int64{parked, waiting, scheduled})
}
