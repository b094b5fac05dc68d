package apply_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// FuzzIDs records an id in one way, and then asks the others: all know it, or all
// refuse it for the same reason; and it lives where Go says that it does.
func FuzzIDs(f *testing.F) {
	now := testinbox.V7At(time.Now())
	for _, id := range []string{
		now, strings.ToUpper(now), testinbox.V7At(time.Now().AddDate(0, 0, -30)), testinbox.V7At(time.Now().AddDate(3, 0, 0)),
		"00000000-0000-7000-8000-000000000000", "ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-0000-0000-000000000000",
		now[:19] + "c" + now[20:], now[:14] + "4" + now[15:], "{" + now + "}", now + "\n", "\n" + now, strings.ReplaceAll(now, "-", ""), now[1:] + now[:1],
		"", "a", strings.Repeat("x", 1000), strings.Repeat("x", 1001), "a\x00", "\xff", "ſ", "K1890a5d-ac96-774b-bcce-b302099a8057", "é",
	} {
		f.Add(id, uint8(len(id)))
	}
	admin, pool := databases(f)
	names := []string{"inbox.Once", "tandem.once", "a batch", "a later batch"}
	f.Fuzz(func(t *testing.T, id string, order uint8) {
		if !utf8.ValidString(id) || strings.Contains(id, "\x00") {
			for _, name := range []string{"inbox.Once", "a batch", "a later batch"} {
				_, err := ways[name](t, pool, id)
				require.ErrorIs(t, err, inbox.ErrInvalid, name)
			}
			return // no text of Postgres's: SQL cannot even be asked
		}
		_, refused := ways[names[order%4]](t, pool, id)
		for _, name := range names {
			first, err := ways[name](t, pool, id)
			require.False(t, first, "%s after %s", name, names[order%4])
			for _, reason := range []error{inbox.ErrTooOld, inbox.ErrTooNew, inbox.ErrInvalid} {
				require.Equal(t, errors.Is(refused, reason), errors.Is(err, reason), "%s: %v, %s: %v", names[order%4], refused, name, err)
			}
			require.Equal(t, refused == nil, err == nil)
		}
		if refused != nil {
			return
		}
		where := ids.Parse(id)
		table := "inbox_foreign"
		if where.Timed {
			table = "inbox"
		}
		require.Equal(t, 1, testinbox.Count(t, admin, `SELECT count(*) FROM tandem.`+table+` WHERE consumer = 'billing' AND message_id::text = $1`, where.Text))
	})
}

// FuzzSetAside sets a message of any content aside: it comes back as it was, and
// what was said about it is kept as well as may be.
func FuzzSetAside(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), false, false, "n", []byte("v"), "id", "type", "reason", "error", []byte("stack"), int64(0))
	f.Add([]byte("\x00\xff"), []byte("\x00\xff"), false, false, "\x00\xff", []byte("\x00\xff"), "\x00\xff", "\x00\xff", "\x00\xff", "\x00\xff", []byte("\x00\xff"), int64(-1))
	f.Add([]byte{}, []byte{}, true, true, "", []byte{}, "", "", "", "", []byte{}, int64(1)<<62)
	_, pool := databases(f)
	a := apply.New(config(pool, effect))
	fence, _, err := a.Claim(context.Background(), "orders", 0, "fuzz")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, key, value []byte, noKey, noValue bool, name string, header []byte, id, eventType, reason, said string, stack []byte, millis int64) {
		m := inbox.Message{ID: id, Topic: "orders", Key: key, Value: value, Type: eventType,
			Headers: []inbox.Header{{Name: name, Value: header}, {Name: name}}, Sent: time.UnixMilli(millis).UTC()}
		if noKey {
			m.Key = nil
		}
		if noValue {
			m.Value = nil
		}
		item := apply.Item{Message: m, Verdict: &apply.Verdict{
			State: apply.Parked, Scope: apply.Key, Lane: apply.LaneOf(&m, apply.Key), Reason: reason, Err: errors.New(said), Stack: stack}}
		_, err := a.Apply(t.Context(), fence, []apply.Item{item})
		require.NoError(t, err)
		found, whole, err := a.Rows(t.Context(), fence, []apply.Lane{item.Verdict.Lane}, 1000, 1<<30)
		require.NoError(t, err)
		require.True(t, whole)
		defer func() { // for the next input
			require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), `DELETE FROM tandem.inbox_aside`)
				return err
			}))
		}()
		require.Len(t, found, 1)
		got := found[0].Message
		if year := m.Sent.Year(); year >= 1 && year <= 9998 {
			require.Equal(t, m.Sent, got.Sent)
		}
		m.ID, m.Type, m.Sent, m.Attempt, got.Sent = "", "", time.Time{}, got.Attempt, time.Time{}
		if len(header) == 0 { // nothing tells an empty header from none
			m.Headers[0].Value, got.Headers[0].Value = nil, nil
		}
		require.Equal(t, m, got)
	})
}
