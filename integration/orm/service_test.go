package orm_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/outbox"
)

// The row and its event, the effect and the message's id: both or neither, on
// each ORM as its users have it.
func TestServices(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, address string, db *sql.DB) service{
		"GORM": func(t *testing.T, _ string, db *sql.DB) service { return onGORM(openGORM(t, db, false)) },
		"GORM with prepared statements": func(t *testing.T, _ string, db *sql.DB) service {
			return onGORM(openGORM(t, db, true))
		},
		"bun on pgx": func(_ *testing.T, _ string, db *sql.DB) service { return onBun(openBun(db)) },
		"bun on its own driver": func(t *testing.T, address string, _ *sql.DB) service {
			db := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(address), pgdriver.WithInsecure(true)))
			t.Cleanup(func() { _ = db.Close() })
			return onBun(openBun(db))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, db := database(t)
			requirePromise(t, db, open(t, address, db))
		})
	}
}

func requirePromise(t *testing.T, db *sql.DB, s service) {
	ctx, failure := t.Context(), errors.New("it goes wrong at the end")
	o := Order{ID: "o-1 ? $1", Cents: 100}
	require.ErrorIs(t, s.place(ctx, o, failure), failure)
	require.Zero(t, count(t, db, "orders"))
	require.Zero(t, count(t, db, "tandem.log"))
	require.NoError(t, s.place(ctx, o, nil))
	require.Equal(t, 1, count(t, db, "orders"))
	require.Equal(t, 1, count(t, db, "tandem.log WHERE key = 'o-1 ? $1'"))
	require.Error(t, s.place(ctx, o, nil), "the row's key is taken")
	require.Equal(t, 1, count(t, db, "tandem.log"))
	var refused *outbox.InvalidEventError
	require.ErrorAs(t, s.place(ctx, Order{ID: "o-2", Note: strings.Repeat("x", 900_000)}, nil), &refused)
	require.Equal(t, "payload", refused.Field)
	require.Equal(t, 1, count(t, db, "orders"))

	m := inbox.Message{ID: outbox.NewID()}
	require.ErrorIs(t, s.charge(ctx, m, o, failure), failure)
	require.Zero(t, count(t, db, "charges"))
	require.Zero(t, count(t, db, "tandem.inbox"))
	for range 3 {
		require.NoError(t, s.charge(ctx, m, o, nil))
	}
	require.Equal(t, 1, count(t, db, "charges"))
	require.Equal(t, 1, count(t, db, "tandem.inbox"))
	require.ErrorIs(t, s.charge(ctx, inbox.Message{ID: "00000000-0000-7000-8000-000000000000"}, o, nil), inbox.ErrTooOld)
}
