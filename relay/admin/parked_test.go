package admin_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/relay/admin"
)

func TestListSelects(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	require.Empty(t, d.list(t, admin.Selector{}))
	ids := d.poisoned(t)
	for name, c := range map[string]struct {
		selector admin.Selector
		want     []int64
	}{
		"parked and held":   {admin.Selector{}, []int64{1, 2, 3, 4, 5}},
		"every state":       {admin.Selector{States: admin.States()}, []int64{1, 2, 3, 4, 5, 6, 7}},
		"held":              {admin.Selector{States: []admin.State{admin.Held}}, []int64{2, 4}},
		"deferred":          {admin.Selector{States: []admin.State{admin.Deferred}}, []int64{6}},
		"scheduled":         {admin.Selector{States: []admin.State{admin.Scheduled}}, []int64{7}},
		"topic":             {admin.Selector{Topics: []string{"bills"}}, []int64{5}},
		"key":               {admin.Selector{Keys: []string{"a"}}, []int64{1, 2, 4}},
		"ids":               {admin.Selector{IDs: []uuid.UUID{ids[3], ids[4]}}, []int64{4, 5}},
		"reason, any case":  {admin.Selector{Reason: "too large"}, []int64{1}},
		"reason is no LIKE": {admin.Selector{Reason: "%"}, []int64{}},
		"what it is behind": {admin.Selector{Reason: ids[0].String()}, []int64{2, 4}},
		"all of it":         {admin.Selector{Topics: []string{"orders"}, Keys: []string{"a", "b"}, Reason: "record"}, []int64{3}},
		"limit":             {admin.Selector{Limit: 2}, []int64{1, 2}},
		"empty lists":       {admin.Selector{IDs: []uuid.UUID{}, Topics: []string{}, Keys: []string{}}, []int64{1, 2, 3, 4, 5}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, d.list(t, c.selector)) })
	}
	counts, err := d.Count(t.Context(), admin.Selector{})
	require.NoError(t, err)
	require.Equal(t, admin.Counts{Parked: 3, Held: 2, Deferred: 1, Scheduled: 1}, counts)
}

// Who stops in the middle of a list can go on with the connection.
func TestListMayBeLeft(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.poisoned(t)
	for e, err := range d.List(t.Context(), admin.Selector{}) {
		require.NoError(t, err)
		require.Equal(t, int64(1), e.Position)
		break
	}
	require.Len(t, d.list(t, admin.Selector{}), 5)
}

func TestShow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ids := d.poisoned(t)

	parked, err := d.Show(t.Context(), ids[0])
	require.NoError(t, err)
	require.Equal(t, admin.Parked, parked.State)
	require.Equal(t, "Message Too Large", parked.Reason)
	require.Equal(t, "ask for less", parked.Hint)
	require.Equal(t, 1, parked.Attempts)
	require.Equal(t, int64(2), parked.Holds)
	require.Equal(t, "a", *parked.Key)
	require.JSONEq(t, `{"tenant": "7"}`, string(parked.Headers))
	require.Equal(t, "payload", string(parked.Payload))
	require.Nil(t, parked.Behind)
	require.False(t, parked.ParkedAt.IsZero())

	held, err := d.Show(t.Context(), ids[3])
	require.NoError(t, err)
	require.Equal(t, admin.Held, held.State)
	require.Equal(t, ids[0], *held.Behind)

	noKey, err := d.Show(t.Context(), ids[4])
	require.NoError(t, err)
	require.Nil(t, noKey.Key)

	_, err = d.Show(t.Context(), uuid.Nil)
	var unknown *admin.UnknownError
	require.ErrorAs(t, err, &unknown)
	require.ErrorContains(t, err, "no event 00000000-0000-0000-0000-000000000000 is set aside")
}

// Whoever lacks a grant, or the schema, learns what to do.
func TestAccess(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other, err := admin.New(asRelay(t, d.url), "elsewhere")
	require.NoError(t, err)
	_, err = other.Count(t.Context(), admin.Selector{})
	var access *admin.AccessError
	require.ErrorAs(t, err, &access)
	require.Contains(t, access.Remedy, "tandem migrate up")

	writer, err := admin.New(open(t, d.url, map[string]string{"role": "tandem_writer"}), "")
	require.NoError(t, err)
	_, err = writer.Redrive(t.Context(), admin.Selector{}, "me")
	require.ErrorAs(t, err, &access)
	require.Contains(t, access.Remedy, "tandem_relay")

	_, err = admin.New(nil, "No Schema")
	require.Error(t, err)
}
