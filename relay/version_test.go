package relay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

// A schema that was migrated further, and says that programs of this version go on
// working with it, is worked with: while programs are upgraded one by one, an old
// one may have to start again.
func TestANewerSchemaThatWorksWithThisRelay(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.fill(t, "orders", 100)
	m := newMemory(1)
	l.exec(t, `UPDATE tandem.settings SET schema_version = schema_version + 1`)
	drain(t, l.config(t, m))
	requireOrdered(t, m, 100)

	found, err := relay.Examine(t.Context(), l.config(t, nil))
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestANewerSchemaThatDoesNot(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.fill(t, "orders", 100)
	m := newMemory(1)
	l.exec(t, `UPDATE tandem.settings SET schema_version = schema_version + 2, works_with = schema_version + 1`)
	var setup *relay.SetupError
	require.ErrorAs(t, relay.Run(t.Context(), l.config(t, m)), &setup)
	require.Contains(t, setup.Problem, "works with programs written for version")
	require.Contains(t, setup.Remedy, "upgrade this program")
	require.Empty(t, m.all())
}

// A relay that stood by while the schema went beyond it does not take over, and
// does not keep the lease from those that can.
func TestTheSchemaIsLookedAtBeforeEachTerm(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.add(t, "orders", "k", "1")
	leading, standing := newMemory(1), newMemory(1)
	_, stop := start(t, l.config(t, leading))
	leading.await(t, 1)
	standby, stopStandby := start(t, l.config(t, standing))
	require.Eventually(t, func() bool { return standby.State() == relay.Standby }, time.Minute, 10*time.Millisecond)
	l.exec(t, `UPDATE tandem.settings SET schema_version = schema_version + 1, works_with = schema_version + 1`)
	require.NoError(t, stop())
	l.add(t, "orders", "k", "2")

	require.Eventually(t, func() bool { return standby.State() == relay.Stopped }, time.Minute, 10*time.Millisecond)
	var setup *relay.SetupError
	require.ErrorAs(t, stopStandby(), &setup)
	require.Contains(t, setup.Remedy, "upgrade this program")
	require.Empty(t, standing.all())
	require.Equal(t, 1, l.int(t, `SELECT count(*) FROM tandem.lease WHERE expires_at <= clock_timestamp()`))
}
