package apply_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
)

// retrying, parked and held are verdicts on a first attempt.
func retrying(lane apply.Lane, pause time.Duration) *apply.Verdict {
	return &apply.Verdict{State: apply.Retrying, Scope: apply.Key, Lane: lane, Attempts: 1, Pause: pause}
}

func parked(lane apply.Lane) *apply.Verdict {
	return &apply.Verdict{State: apply.Parked, Scope: apply.Key, Lane: lane, Attempts: 1}
}

func held(lane apply.Lane) *apply.Verdict {
	return &apply.Verdict{State: apply.Held, Scope: apply.Key, Lane: lane}
}

// setAside stores new messages, in order, and returns them as they were.
func setAside(t *testing.T, a *apply.Applier, f *apply.Fence, verdicts ...*apply.Verdict) []inbox.Message {
	t.Helper()
	values := make([]string, len(verdicts))
	for i := range values {
		values[i] = string(rune('a' + i))
	}
	stored := messages(values...)
	batch := items(stored)
	for i := range batch {
		batch[i].Verdict = verdicts[i]
	}
	result, err := a.Apply(t.Context(), f, batch)
	require.NoError(t, err)
	require.Zero(t, result.Handled)
	require.False(t, result.Stored)
	return stored
}

// rowsOf reads all that is stored in lanes.
func rowsOf(t *testing.T, a *apply.Applier, f *apply.Fence, lanes ...apply.Lane) []apply.Item {
	t.Helper()
	found, whole, err := a.Rows(t.Context(), f, lanes, 1000, 1<<20)
	require.NoError(t, err)
	require.True(t, whole)
	return found
}

func change(t *testing.T, admin *pgxpool.Pool, statement string, arguments ...any) {
	t.Helper()
	tag, err := admin.Exec(t.Context(), statement, arguments...)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
}

func TestHeadsAreTheFirstOfEachLane(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	none := func(v *apply.Verdict) *apply.Verdict { v.Scope = apply.None; return v }
	all := parked("")
	all.Scope = apply.Partition
	setAside(t, a, f,
		retrying("later", time.Hour), held("later"),
		retrying("overdue", time.Hour),
		parked("parked"), held("parked"), retrying("parked", 0),
		parked("redriven"), held("redriven"),
		held("held"), parked("held"),
		none(parked("aside")),
		none(parked("aside, redriven")),
		none(retrying("aside, due", 0)),
		all,
	)
	change(t, admin, `UPDATE tandem.inbox_aside SET due_at = clock_timestamp() - interval '1 hour' WHERE lane = 'overdue'`)
	change(t, admin, `UPDATE tandem.inbox_aside SET redrive = true WHERE lane = 'redriven' AND state = 'parked'`)
	change(t, admin, `UPDATE tandem.inbox_aside SET redrive = true WHERE lane = 'aside, redriven'`)

	heads, rows, _, err := a.Heads(t.Context(), f)
	require.NoError(t, err)
	require.EqualValues(t, 14, rows)
	later := slices.IndexFunc(heads, func(h apply.Head) bool { return h.Lane == "later" })
	require.GreaterOrEqual(t, later, 0)
	require.Greater(t, heads[later].Due, 30*time.Minute)
	require.LessOrEqual(t, heads[later].Due, time.Hour)
	heads[later].Due = 1
	require.ElementsMatch(t, []apply.Head{
		{Lane: "later", Scope: apply.Key, State: apply.Retrying, Due: 1},
		{Lane: "overdue", Scope: apply.Key, State: apply.Retrying, Due: 0},
		{Lane: "parked", Scope: apply.Key, State: apply.Parked, Due: -1},
		{Lane: "redriven", Scope: apply.Key, State: apply.Parked, Due: 0},
		{Lane: "held", Scope: apply.Key, State: apply.Held, Due: 0},
		{Lane: "aside, redriven", Scope: apply.None, State: apply.Parked, Due: 0},
		{Lane: "aside, due", Scope: apply.None, State: apply.Retrying, Due: 0},
		{Lane: "", Scope: apply.Partition, State: apply.Parked, Due: -1},
	}, heads)
}

func TestHeadsAndRowsAreThoseOfThePartition(t *testing.T) {
	t.Parallel()
	_, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	setAside(t, a, f, parked("x"))
	c := config(pool, effect)
	c.Consumer = "mail"
	mail := apply.New(c)
	other, _, err := a.Claim(t.Context(), "orders", 1, "test")
	require.NoError(t, err)
	topic, _, err := a.Claim(t.Context(), "payments", 0, "test")
	require.NoError(t, err)
	for _, c := range []struct {
		a *apply.Applier
		f *apply.Fence
	}{{a, other}, {a, topic}, {mail, claimed(t, mail)}} {
		heads, rows, _, err := c.a.Heads(t.Context(), c.f)
		require.NoError(t, err)
		require.Empty(t, heads)
		require.Zero(t, rows)
		require.Empty(t, rowsOf(t, c.a, c.f, "x"))
	}
}

func TestRowsAreTheFirstMessagesOfLanesInOrder(t *testing.T) {
	t.Parallel()
	admin, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	retried := retrying("x", 0)
	retried.Attempts = 4
	setAside(t, a, f, retried, parked("y"), held("x"), parked("z"), held("y"), held("x"))
	change(t, admin, `UPDATE tandem.inbox_aside SET redrive = true WHERE lane = 'y' AND state = 'parked'`)

	values := func(found []apply.Item) (out string) {
		for _, item := range found {
			out += string(item.Message.Value)
		}
		return out
	}
	all := rowsOf(t, a, f, "y", "x", "nothing is here")
	require.Equal(t, "abcef", values(all))
	require.Equal(t, apply.Lane("x"), all[0].Lane)
	require.Equal(t, 5, all[0].Message.Attempt, "the attempt to come")
	require.False(t, all[0].Redriven)
	require.Equal(t, apply.Lane("y"), all[1].Lane)
	require.Equal(t, 2, all[1].Message.Attempt)
	require.True(t, all[1].Redriven)
	require.Equal(t, 1, all[2].Message.Attempt)
	require.Empty(t, rowsOf(t, a, f))

	for _, c := range []struct {
		limit, bytes int
		want         string
		whole        bool
	}{
		{6, 100, "abcef", true},
		{5, 100, "abcef", false}, // there might be more
		{3, 100, "abc", false},
		{1, 100, "a", false},
		{6, 5, "abcef", true},
		{6, 4, "abce", false},
		{6, 1, "a", false},
		{6, 0, "a", false}, // one at least
	} {
		found, whole, err := a.Rows(t.Context(), f, []apply.Lane{"x", "y"}, c.limit, c.bytes)
		require.NoError(t, err)
		require.Equal(t, c.want, values(found), "%+v", c)
		require.Equal(t, c.whole, whole, "%+v", c)
	}
}

// A message comes back as it was stored, byte for byte.
func TestRowsKeepTheMessage(t *testing.T) {
	t.Parallel()
	_, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	sent := time.Date(2025, 3, 4, 5, 6, 7, 8000, time.UTC)
	bytes := []byte{0, 0xff, 'x'}
	for name, m := range map[string]inbox.Message{
		"nothing":   {},
		"empty":     {Key: []byte{}, Value: []byte{}, Headers: []inbox.Header{{Name: "", Value: []byte{}}}},
		"nil value": {Key: []byte("k"), Headers: []inbox.Header{{Name: "n"}, {Name: "n", Value: []byte("v")}, {Name: "n"}}},
		"nil key":   {Value: []byte("v")},
		"bytes":     {Key: bytes, Value: bytes, Headers: []inbox.Header{{Name: string(bytes), Value: bytes}}},
	} {
		m.ID, m.Type, m.Topic, m.Offset, m.Sent = "id "+name, "paid", "orders", 1<<40, sent
		batch := items([]inbox.Message{m})
		batch[0].Verdict = parked(apply.Lane(name))
		_, err := a.Apply(t.Context(), f, batch)
		require.NoError(t, err, name)

		found := rowsOf(t, a, f, apply.Lane(name))
		require.Len(t, found, 1, name)
		m.ID, m.Type, m.Attempt = "", "", 2 // the runner finds the former two in headers
		if m.Headers == nil {
			m.Headers = []inbox.Header{}
		}
		require.Equal(t, m, found[0].Message, name)
	}
}

// A producer may take nanoseconds for milliseconds.
func TestAMomentThatNobodyCanMeanIsMoved(t *testing.T) {
	t.Parallel()
	_, pool := databases(t)
	a := apply.New(config(pool, effect))
	f := claimed(t, a)
	for year, want := range map[int]int{-5: 1, 50000: 9999} {
		batch := items(messages("a"))
		lane := apply.Lane(strconv.Itoa(year))
		batch[0].Message.Offset, batch[0].Verdict = int64(year), parked(lane)
		batch[0].Message.Sent = time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		_, err := a.Apply(t.Context(), f, batch)
		require.NoError(t, err)
		require.Equal(t, want, rowsOf(t, a, f, lane)[0].Message.Sent.Year())
	}
}
