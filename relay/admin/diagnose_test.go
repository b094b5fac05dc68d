package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func (d *desk) diagnosed(t *testing.T) string {
	t.Helper()
	conn := asRelay(t, d.url)
	found, err := admin.Diagnose(t.Context(), conn, d.status(t), admin.DefaultLimits())
	require.NoError(t, err)
	var text strings.Builder
	for _, f := range found {
		fmt.Fprintf(&text, "%s: %s\n", f.Severity, f.Problem)
	}
	return text.String()
}

// With a relay's rights; the server of the tests may itself be set to be fast.
func TestDiagnoseASettingOfTheDatabase(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	require.NotContains(t, d.diagnosed(t), "database")
	name := d.text(t, `SELECT current_database()`)
	d.exec(t, `ALTER DATABASE `+name+` SET synchronous_commit = off`)
	text := d.diagnosed(t)
	require.Contains(t, text, "warning: synchronous_commit is off for every role in database "+name)
	require.Contains(t, text, "warning: synchronous_commit is off for this login")
}

func TestMaxEventBytes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.exec(t, `UPDATE tandem.settings SET max_event_bytes = 1234`)
	bytes, err := admin.MaxEventBytes(t.Context(), asRelay(t, d.url), "tandem")
	require.NoError(t, err)
	require.Equal(t, 1234, bytes)
}
