package inbox_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
	"github.com/tandem-outbox/tandem/internal/pgerror"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// FuzzOnceAgreesWithSQL gives the same consumer and id to inbox.Once and to
// tandem.once: both say the same, or refuse the same field for the same reason.
func FuzzOnceAgreesWithSQL(f *testing.F) {
	for _, consumer := range []string{"billing", "", strings.Repeat("c", 255), strings.Repeat("é", 128), "\x00", "\xff", "a'b\"\\"} {
		for _, id := range []string{"1", "", strings.Repeat("x", 1001), "00000000-0000-7000-8000-000000000000", "FFFFFFFF-FFFF-7FFF-BFFF-FFFFFFFFFFFF", "\x00"} {
			f.Add(consumer, id)
		}
	}
	pool := testinbox.Pool(f, testinbox.AsConsumer(f, testservers.Migrated(f)))
	// try rolls back, so that each input is new.
	try := func(t *testing.T, once func(tx pgx.Tx) (bool, error)) (first bool, err error) {
		tx, begun := pool.Begin(t.Context())
		require.NoError(t, begun)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
		return once(tx)
	}
	f.Fuzz(func(t *testing.T, consumer, id string) {
		inGo, errGo := try(t, func(tx pgx.Tx) (bool, error) { return inbox.Once(t.Context(), tx, consumer, id) })
		var refused *inbox.IDError
		if errGo != nil {
			require.ErrorAs(t, errGo, &refused)
			require.Less(t, len(errGo.Error()), 2000)
		}
		if both := consumer + id; !utf8.ValidString(both) || strings.Contains(both, "\x00") {
			require.ErrorIs(t, errGo, inbox.ErrInvalid)
			return // no text of Postgres's: SQL cannot even be asked
		}
		inSQL, errSQL := try(t, func(tx pgx.Tx) (first bool, err error) {
			err = tx.QueryRow(t.Context(), `SELECT tandem.once($1::text, $2::text)`, consumer, id).Scan(&first)
			return first, err
		})
		if errGo == nil {
			require.NoError(t, errSQL)
			require.True(t, inGo && inSQL)
			return
		}
		reason := map[string]error{"TD010": inbox.ErrTooOld, "TD011": inbox.ErrTooNew, "TD012": inbox.ErrInvalid}[pgerror.State(errSQL)]
		require.Equal(t, refused.Reason, reason, "%v\n%v", errGo, errSQL)
		require.Equal(t, refused.Field, pgerror.Column(errSQL))
	})
}

// FuzzDecode: a codec refuses or takes what comes, a panic in it is an error, and
// what JSON takes encoding/json takes too.
func FuzzDecode(f *testing.F) {
	for _, payload := range []string{`{"id": "7", "amount": 12}`, `null`, ``, ` `, `{}`, `{} {}`, `[]`, `{"id": 7}`, `{"amount": 1e99}`, "\xff", `{"id":"\ud800"}`} {
		f.Add([]byte(payload), "application/json")
	}
	for _, contentType := range []string{"", "text/plain", "application/cloudevents+json", "application/vnd.shop+json; charset=utf-8", ";", "\x00"} {
		f.Add([]byte(`{}`), contentType)
	}
	type order struct {
		ID     string `json:"id"`
		Amount int    `json:"amount"`
	}
	f.Fuzz(func(t *testing.T, payload []byte, contentType string) {
		m := inbox.Message{ID: "1", Type: "order.placed", Value: payload, ContentType: contentType}
		loose, errLoose := inbox.Decode(inbox.JSON[order](), m)
		strict, errStrict := inbox.Decode(inbox.StrictJSON[order](), m)
		if errStrict == nil {
			require.NoError(t, errLoose)
			require.Equal(t, loose, strict)
		}
		var refused *inbox.DecodeError
		if errLoose != nil && payload != nil {
			require.ErrorAs(t, errLoose, &refused)
		}
		_, err := inbox.Decode(inbox.Codec[order](func(m inbox.Message) (order, error) { panic(string(m.Value)) }), m)
		require.Error(t, err)
	})
}
