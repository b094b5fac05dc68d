package apply_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// A way to record an id: whether it was the first, and the SQLSTATE or the
// reason by which it was refused.
type way func(t *testing.T, pool *pgxpool.Pool, id string) (first bool, refused error)

var ways = map[string]way{
	"inbox.Once": func(t *testing.T, pool *pgxpool.Pool, id string) (first bool, refused error) {
		refused = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
			first, err = inbox.Once(t.Context(), tx, "billing", id)
			return err
		})
		return first, refused
	},
	"tandem.once": func(t *testing.T, pool *pgxpool.Pool, id string) (first bool, refused error) {
		refused = pool.QueryRow(t.Context(), `SELECT tandem.once('billing', $1::text)`, id).Scan(&first)
		var pg *pgconn.PgError
		if errors.As(refused, &pg) {
			refused = map[string]error{"TD010": inbox.ErrTooOld, "TD011": inbox.ErrTooNew, "TD012": inbox.ErrInvalid}[pg.Code]
			require.NotNil(t, refused, pg.Code)
		}
		return first, refused
	},
	"a batch": func(t *testing.T, pool *pgxpool.Pool, id string) (first bool, refused error) {
		n, refused := applier(pool, effect).Apply(t.Context(), []inbox.Message{{ID: id}})
		return n == 1, refused
	},
	// Which knows floor and ceiling.
	"a later batch": func(t *testing.T, pool *pgxpool.Pool, id string) (first bool, refused error) {
		n, refused := experienced(t, pool).Apply(t.Context(), []inbox.Message{{ID: id}})
		return n == 1, refused
	},
}

// experienced is an applier that has applied a batch.
func experienced(t *testing.T, pool *pgxpool.Pool) plain {
	a := applier(pool, effect)
	n, err := a.Apply(t.Context(), fresh(1))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	return a
}

// Whichever way an id comes in, and however it is spelled, it is the same id.
func TestTheWaysIntoTheInboxAgree(t *testing.T) {
	t.Parallel()
	_, pool := databases(t)
	v4, nilID := uuid.NewString, func() string { return uuid.Nil.String() }
	v7 := func() string { return uuid.Must(uuid.NewV7()).String() }
	upper := strings.ToUpper
	same := func(s string) string { return s }
	for name, c := range map[string]struct {
		id       func() string
		respell  func(string) string
		distinct bool
	}{
		"UUIDv7":                           {id: v7, respell: same},
		"UUIDv7 in upper case":             {id: v7, respell: upper},
		"UUIDv4":                           {id: v4, respell: same},
		"UUIDv4 in upper case":             {id: v4, respell: upper},
		"version 7 of another variant":     {id: func() string { s := v7(); return s[:19] + "c" + s[20:] }, respell: upper},
		"text":                             {id: func() string { return "pay_" + v4() }, respell: same},
		"text in upper case":               {id: func() string { return "pay_" + v4() }, respell: upper, distinct: true},
		"UUIDv7 in braces is text":         {id: v7, respell: func(s string) string { return "{" + s + "}" }, distinct: true},
		"UUIDv7 without hyphens is text":   {id: v7, respell: func(s string) string { return strings.ReplaceAll(s, "-", "") }, distinct: true},
		"UUIDv7 with a line feed is text":  {id: v7, respell: func(s string) string { return s + "\n" }, distinct: true},
		"UUIDv7 with a blank is text":      {id: v7, respell: func(s string) string { return " " + s }, distinct: true},
		"hyphens in other places are text": {id: v4, respell: func(s string) string { return s[1:] + s[:1] }, distinct: true},
		"1000 bytes":                       {id: func() string { return v4() + strings.Repeat("x", 964) }, respell: same},
		"the nil UUID":                     {id: nilID, respell: same},
	} {
		for before, record := range ways {
			for after, again := range ways {
				id := c.id()
				first, err := record(t, pool, id)
				require.NoError(t, err, name)
				if name != "the nil UUID" {
					require.True(t, first, "%s by %s", name, before)
				}
				first, err = again(t, pool, c.respell(id))
				require.NoError(t, err, name)
				require.Equal(t, c.distinct, first, "%s: first by %s, then by %s", name, before, after)
			}
		}
	}
}

func TestTheWaysIntoTheInboxRefuseAlike(t *testing.T) {
	t.Parallel()
	_, pool := databases(t)
	for name, c := range map[string]struct {
		id     string
		reason error
	}{
		"too old":       {testinbox.V7At(time.Now().AddDate(0, 0, -30)), inbox.ErrTooOld},
		"oldest":        {"00000000-0000-7000-8000-000000000000", inbox.ErrTooOld},
		"too new":       {testinbox.V7At(time.Now().AddDate(2, 0, 0)), inbox.ErrTooNew},
		"newest":        {"FFFFFFFF-FFFF-7FFF-BFFF-FFFFFFFFFFFF", inbox.ErrTooNew},
		"empty":         {"", inbox.ErrInvalid},
		"over the size": {strings.Repeat("x", 1001), inbox.ErrInvalid},
	} {
		for by, record := range ways {
			_, err := record(t, pool, c.id)
			require.ErrorIs(t, err, c.reason, "%s by %s", name, by)
		}
	}
}
