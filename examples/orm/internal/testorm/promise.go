package testorm

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/outbox"
)

// RequirePromise tests that the row and its event, the effect and the message's id are
// there both or neither.
func RequirePromise(t *testing.T, db *sql.DB, s Shop) {
	t.Helper()
	ctx := t.Context()
	const order = "o-1 ? $1"
	require.ErrorContains(t, s.Place(ctx, order, FailsAtTheEnd, ""), "refused at the end")
	require.Zero(t, count(t, db, "orders"))
	require.Zero(t, count(t, db, "tandem.log"))
	require.NoError(t, s.Place(ctx, order, 100, ""))
	require.Equal(t, 1, count(t, db, "orders"))
	require.Equal(t, 1, count(t, db, "tandem.log WHERE key = 'o-1 ? $1'"))
	require.Error(t, s.Place(ctx, order, 100, ""), "the row's key is taken")
	require.Equal(t, 1, count(t, db, "tandem.log"))
	var refused *outbox.InvalidEventError
	require.ErrorAs(t, s.Place(ctx, "o-2", 100, strings.Repeat("x", 900_000)), &refused)
	require.Equal(t, "payload", refused.Field)
	require.Equal(t, 1, count(t, db, "orders"))

	id := outbox.NewID()
	require.ErrorContains(t, s.Charge(ctx, id, order, FailsAtTheEnd), "refused at the end")
	require.Zero(t, count(t, db, "charges"))
	require.Zero(t, count(t, db, "tandem.inbox"))
	for range 3 {
		require.NoError(t, s.Charge(ctx, id, order, 100))
	}
	require.Equal(t, 1, count(t, db, "charges"))
	require.Equal(t, 1, count(t, db, "tandem.inbox"))
	require.ErrorIs(t, s.Charge(ctx, "00000000-0000-7000-8000-000000000000", order, 100), inbox.ErrTooOld)
}
