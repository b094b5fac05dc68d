package admin_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay/admin"
)

// published is a log of ten published events, at positions 1 to 10, and two that
// are not yet: topics orders and bills in turn, keys k0 to k2.
func published(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	const write = `INSERT INTO tandem.log (topic, key, type, payload)
		SELECT CASE WHEN n % 2 = 0 THEN 'orders' ELSE 'bills' END, 'k' || n % 3, CASE WHEN n = 4 THEN 'order.placed' END, 'x' FROM generate_series($1::int, $2::int) AS n`
	d.exec(t, write, 1, 10)
	d.exec(t, `INSERT INTO tandem.checkpoint (prev) VALUES (pg_current_snapshot())`)
	d.exec(t, write, 11, 12)
	return d
}

func (d *desk) replayable(t *testing.T, s admin.ReplaySelector) int64 {
	t.Helper()
	r, err := d.CountReplay(t.Context(), s)
	require.NoError(t, err)
	return r.Events
}

func TestCountReplaySelects(t *testing.T) {
	t.Parallel()
	d := published(t)
	for name, c := range map[string]struct {
		selector admin.ReplaySelector
		want     int64
	}{
		"everything":      {admin.ReplaySelector{}, 10},
		"positions":       {admin.ReplaySelector{FromPosition: 3, ToPosition: 5}, 3},
		"not yet there":   {admin.ReplaySelector{FromPosition: 11}, 0},
		"topic":           {admin.ReplaySelector{Topic: "orders"}, 5},
		"key":             {admin.ReplaySelector{Key: "k0"}, 3},
		"type":            {admin.ReplaySelector{Type: "order.placed"}, 1},
		"default type":    {admin.ReplaySelector{Type: "orders"}, 4},
		"all of it":       {admin.ReplaySelector{Topic: "orders", Key: "k1", FromPosition: 5}, 1},
		"since yesterday": {admin.ReplaySelector{From: time.Now().Add(-24 * time.Hour)}, 10},
		"till yesterday":  {admin.ReplaySelector{To: time.Now().Add(-24 * time.Hour)}, 0},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, d.replayable(t, c.selector)) })
	}
}

// What was not sent, or may be sent once only, is not published again.
func TestReplayLeavesOutWhatWasNotPublished(t *testing.T) {
	t.Parallel()
	d := published(t)
	d.aside(t, 2, "parked", "orders", "k2", "too large")
	d.exec(t, `INSERT INTO tandem.dropped (position, created_at, id, topic, kind) VALUES (3, now(), tandem.uuidv7(), 'bills', 'expired')`)
	require.Equal(t, int64(8), d.replayable(t, admin.ReplaySelector{}))
	d.exec(t, `INSERT INTO tandem.log (topic, at_most_once, payload) VALUES ('orders', true, 'x')`)
	d.exec(t, `INSERT INTO tandem.log (topic, expires, payload) VALUES ('orders', now() - interval '1 second', 'x'), ('orders', now() + interval '1 hour', 'x')`)
	d.exec(t, `INSERT INTO tandem.checkpoint (prev) VALUES (pg_current_snapshot())`)
	require.Equal(t, int64(8+2+1), d.replayable(t, admin.ReplaySelector{}))
}

// Inside a window only what lies up to its done position is published.
func TestReplayGoesByTheSavedCheckpoint(t *testing.T) {
	t.Parallel()
	d := published(t)
	d.exec(t, `INSERT INTO tandem.checkpoint (prev, cur, done) SELECT prev, pg_current_snapshot(), 11 FROM tandem.checkpoint ORDER BY save DESC LIMIT 1`)
	require.Equal(t, int64(11), d.replayable(t, admin.ReplaySelector{}))
	// As it was before the first event.
	d.exec(t, `INSERT INTO tandem.checkpoint (prev) VALUES ('3:3:')`)
	require.Zero(t, d.replayable(t, admin.ReplaySelector{}))
}

func TestReplayAsks(t *testing.T) {
	t.Parallel()
	d := published(t)
	request, err := d.Replay(t.Context(), admin.ReplaySelector{Topic: "orders", From: time.Now().Add(-time.Hour)}, "alice")
	require.NoError(t, err)
	require.Equal(t, int64(5), request.Total)
	require.Equal(t, "replay", request.Kind)
	require.Equal(t, "2 10 orders 1000 t", d.text(t, `SELECT concat_ws(' ', arguments->>'from_position', arguments->>'to_position', arguments->>'topic', arguments->>'rate',
		(arguments->>'from')::timestamptz < now()) FROM tandem.request WHERE request = $1`, request.Number))
	request, err = d.Replay(t.Context(), admin.ReplaySelector{Rate: 7}, "alice")
	require.NoError(t, err)
	require.Equal(t, "7", d.text(t, `SELECT arguments->>'rate' FROM tandem.request WHERE request = $1`, request.Number))
	_, err = d.Replay(t.Context(), admin.ReplaySelector{Rate: -1}, "alice")
	require.ErrorContains(t, err, "rate")
}

func TestReplayRefusesWhatIsNotKept(t *testing.T) {
	t.Parallel()
	d := published(t)
	d.exec(t, `DELETE FROM tandem.log WHERE position < 4`)
	_, err := d.Replay(t.Context(), admin.ReplaySelector{ToPosition: 3}, "alice")
	var gone *admin.NotKeptError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, int64(4), *gone.KeptFrom)
	require.ErrorContains(t, err, "from position 4 (")
	require.ErrorContains(t, err, "--keep-leaves")
	d.exec(t, `TRUNCATE tandem.log`)
	_, err = d.Replay(t.Context(), admin.ReplaySelector{}, "alice")
	require.ErrorContains(t, err, "no published event is in the log any more")
	require.Equal(t, "0", d.text(t, `SELECT count(*)::text FROM tandem.request`))
}
