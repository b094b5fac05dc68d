package admin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/admin"
)

func TestListSelects(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	require.Empty(t, d.list(t, admin.Selector{}))
	n := d.poisoned(t)
	d.exec(t, `UPDATE tandem.inbox_aside SET message_id = '01890A5D-AC96-774B-BCCE-B302099A8057' WHERE aside = $1`, n[3])
	for name, c := range map[string]struct {
		selector admin.Selector
		want     []int64
	}{
		"all":               {admin.Selector{}, n},
		"numbers":           {admin.Selector{Aside: []int64{n[4], n[1]}}, []int64{n[1], n[4]}},
		"consumer":          {admin.Selector{Consumers: []string{"mail"}}, n[5:]},
		"ids":               {admin.Selector{IDs: []string{"m1", "m3"}}, []int64{n[0], n[2], n[5]}},
		"a UUID, any case":  {admin.Selector{IDs: []string{"01890a5d-ac96-774b-BCCE-b302099a8057"}}, n[3:4]},
		"topic":             {admin.Selector{Topics: []string{"bills"}}, []int64{}},
		"partition":         {admin.Selector{Partition: pointer[int32](1)}, n[4:5]},
		"partition 0":       {admin.Selector{Partition: pointer[int32](0), Consumers: []string{"billing"}}, n[:4]},
		"offset":            {admin.Selector{Offset: pointer[int64](10)}, []int64{n[0], n[5]}},
		"key":               {admin.Selector{Keys: [][]byte{[]byte("a")}}, []int64{n[0], n[1], n[3], n[5]}},
		"reason, any case":  {admin.Selector{Reason: "handler"}, []int64{n[0], n[5]}},
		"error":             {admin.Selector{Reason: "IT SAID panic"}, n[2:3]},
		"reason is no LIKE": {admin.Selector{Reason: "%"}, []int64{}},
		"states":            {admin.Selector{States: []admin.State{admin.Held, admin.Retrying}}, n[1:4]},
		"all of it":         {admin.Selector{Consumers: []string{"billing"}, IDs: []string{"m1"}, Keys: [][]byte{[]byte("a")}}, n[:1]},
		"limit":             {admin.Selector{Limit: 2}, n[:2]},
		"empty lists":       {admin.Selector{Aside: []int64{}, Consumers: []string{}, IDs: []string{}, Topics: []string{}, Keys: [][]byte{}}, n},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, d.list(t, c.selector)) })
	}
	counts, err := d.Count(t.Context(), admin.Selector{})
	require.NoError(t, err)
	require.Equal(t, admin.Counts{Parked: 3, Retrying: 1, Held: 2}, counts)
}

// Who stops in the middle of a list can go on.
func TestListMayBeLeft(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	for m, err := range d.List(t.Context(), admin.Selector{}) {
		require.NoError(t, err)
		require.Equal(t, n[0], m.Aside)
		break
	}
	require.Len(t, d.list(t, admin.Selector{}), len(n))
}

func TestShow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	parked, err := d.Show(t.Context(), admin.Selector{Consumers: []string{"billing"}, IDs: []string{"m1"}})
	require.NoError(t, err)
	require.Equal(t, admin.Parked, parked.State)
	require.Equal(t, int64(10), parked.Offset)
	require.Equal(t, "Handler", parked.Reason)
	require.Equal(t, "it said Handler", parked.Error)
	require.Equal(t, "look at it", parked.Hint)
	require.Equal(t, 3, parked.Attempts)
	require.Equal(t, int64(2), parked.Holds)
	require.Equal(t, "a", string(parked.Key))
	require.Equal(t, "payload", string(parked.Value))
	require.Equal(t, []inbox.Header{{Name: "ce_id", Value: []byte("x")}, {Name: "odd", Value: []byte("\x00\xff")}}, parked.Headers)
	require.NotNil(t, parked.ParkedAt)
	require.Nil(t, parked.NextAttemptAt)
	require.Nil(t, parked.Behind)

	held, err := d.Show(t.Context(), admin.Selector{IDs: []string{"m4"}})
	require.NoError(t, err)
	require.Equal(t, n[0], *held.Behind)
	require.Zero(t, held.Holds)
	retrying, err := d.Show(t.Context(), admin.Selector{IDs: []string{"m3"}})
	require.NoError(t, err)
	require.NotNil(t, retrying.NextAttemptAt)
	noKey, err := d.Show(t.Context(), admin.Selector{Partition: pointer[int32](1)})
	require.NoError(t, err)
	require.Nil(t, noKey.Key)
	d.exec(t, `UPDATE tandem.inbox_aside SET value = NULL, header_names = '{a}', header_values = '{NULL}' WHERE aside = $1`, n[4])
	tombstone, err := d.Show(t.Context(), admin.Selector{Aside: n[4:5]})
	require.NoError(t, err)
	require.Nil(t, tombstone.Value)
	require.Equal(t, []inbox.Header{{Name: "a"}}, tombstone.Headers)
}

func TestShowWantsOneMessage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	n := d.poisoned(t)
	_, err := d.Show(t.Context(), admin.Selector{IDs: []string{"m1"}})
	var several *admin.AmbiguousError
	require.ErrorAs(t, err, &several)
	require.Len(t, several.Messages, 2)
	require.ErrorContains(t, err, "consumer mail, orders/0 offset 10")

	_, err = d.Show(t.Context(), admin.Selector{IDs: []string{"none"}})
	var unknown *admin.UnknownError
	require.ErrorAs(t, err, &unknown)
	require.ErrorContains(t, err, "has been handled, or never failed")
	_, err = d.Discard(t.Context(), admin.Selector{Aside: n[5:]}, false, "alice", "ticket 7")
	require.NoError(t, err)
	_, err = d.Show(t.Context(), admin.Selector{IDs: []string{"m1"}, Consumers: []string{"mail"}})
	require.ErrorContains(t, err, "it was discarded at ")
	require.ErrorContains(t, err, "by alice: ticket 7")
	_, err = d.Show(t.Context(), admin.Selector{Aside: n[5:]}) // of which nothing is kept
	require.ErrorAs(t, err, &unknown)
	require.Empty(t, unknown.Dropped)
}

// Whoever lacks a grant, or the schema, learns what to do.
func TestAccess(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other, err := admin.New(d.owner, "elsewhere")
	require.NoError(t, err)
	_, err = other.Count(t.Context(), admin.Selector{})
	var access *admin.AccessError
	require.ErrorAs(t, err, &access)
	require.Contains(t, access.Remedy, "tandem migrate up")

	relay, err := admin.New(open(t, d.url, map[string]string{"role": "tandem_relay"}), "")
	require.NoError(t, err)
	for _, ask := range []func() error{
		func() error { _, err := relay.Redrive(t.Context(), admin.Selector{}, "me"); return err },
		func() error { _, err := relay.Discard(t.Context(), admin.Selector{}, true, "me", ""); return err },
		func() error { _, err := relay.Show(t.Context(), admin.Selector{}); return err },
		func() error { _, err := relay.Status(t.Context()); return err },
	} {
		require.ErrorAs(t, ask(), &access)
		require.Contains(t, access.Remedy, "GRANT tandem_consumer")
	}
	_, err = admin.New(nil, "No Schema")
	require.Error(t, err)
}
