package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay"
)

func TestExamineASoundDatabase(t *testing.T) {
	t.Parallel()
	found, err := relay.Examine(t.Context(), newLog(t).config(t, nil))
	require.NoError(t, err)
	require.Empty(t, found)
}

// Where a relay would give up at the first, all of it is found.
func TestExamineFindsEverything(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.exec(t, `ALTER SEQUENCE tandem.log_position CACHE 50`)
	l.exec(t, `DROP INDEX tandem.log_07_position`)
	l.exec(t, `UPDATE tandem.checkpoint SET system = 1`)
	found, err := relay.Examine(t.Context(), l.config(t, nil))
	require.NoError(t, err)
	require.Len(t, found, 3)
	require.Contains(t, found[0].Problem+found[1].Problem, "CACHE 50")
	require.Contains(t, found[0].Problem+found[1].Problem, "log_07")
	require.Contains(t, found[2].Problem, "another cluster")
	require.Contains(t, found[2].Remedy, "tandem rebase")
	for _, f := range found {
		require.NotEmpty(t, f.Why)
		require.NotEmpty(t, f.Code)
	}
}

// The login's rights are one finding, whatever cannot be looked at without them.
func TestExamineWithoutTheRights(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	for _, role := range []string{"tandem_writer", "pg_monitor"} {
		cfg := l.config(t, nil)
		cfg.Database.RuntimeParams["role"] = role
		found, err := relay.Examine(t.Context(), cfg)
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Contains(t, found[0].Remedy, "GRANT tandem_relay TO ")
	}
}

// A right that is missing hides nothing that the login can see all the same.
func TestExamineWithOneRightLess(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.exec(t, `REVOKE TRUNCATE ON tandem.log_00 FROM tandem_relay`)
	l.exec(t, `UPDATE tandem.checkpoint SET system = 1`)
	cfg := l.config(t, nil)
	cfg.Database.RuntimeParams["role"] = "tandem_relay"
	found, err := relay.Examine(t.Context(), cfg)
	require.NoError(t, err)
	var codes []string
	for _, f := range found {
		codes = append(codes, f.Code)
	}
	require.ElementsMatch(t, []string{"rights", "checkpoint-foreign"}, codes)
}

func TestExamineAnotherVersionsSchema(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.exec(t, `UPDATE tandem.settings SET schema_version = 1`)
	found, err := relay.Examine(t.Context(), l.config(t, nil))
	require.Error(t, err)
	require.Len(t, found, 1)
	require.Contains(t, found[0].Remedy, "tandem migrate up")
}

func TestExamineWhereNothingAnswers(t *testing.T) {
	t.Parallel()
	cfg := newLog(t).config(t, nil)
	cfg.Database.Port = 1
	found, err := relay.Examine(t.Context(), cfg)
	require.Error(t, err)
	require.Empty(t, found)
}
