package outbox_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// Every way into the log takes and refuses the same events, and stores the same.
func TestEveryWayAgrees(t *testing.T) {
	t.Parallel()
	for _, w := range ways(t, testservers.Migrated(t)) {
		t.Run(w.name, func(t *testing.T) {
			for _, c := range acceptedCases {
				t.Run(c.name, func(t *testing.T) { requireAccepted(t, w, c) })
			}
			for _, c := range refusedCases {
				t.Run(c.name, func(t *testing.T) { requireRefused(t, w, c) })
			}
		})
	}
}

func requireAccepted(t *testing.T, w way, c limitCase) {
	events, err := w.try(t, c.event)
	require.NoError(t, err)
	require.Len(t, events, 1)
	want := asStored(c.event)
	if want.ID == "" {
		requireVersion7(t, events[0].ID)
		want.ID = events[0].ID
	}
	want.ID = strings.ToLower(want.ID)
	require.Equal(t, want, events[0])
}

func requireRefused(t *testing.T, w way, c limitCase) {
	if w.sql && c.notInSQL {
		return
	}
	_, err := w.try(t, c.event)
	require.Error(t, err)
	field, limit := refusal(t, err)
	require.Equal(t, c.field, field, err)
	require.Equal(t, c.limit, limit, err)
	if !w.sql {
		var invalid *outbox.InvalidEventError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, 0, invalid.Index)
		require.Equal(t, c.event.ID, invalid.ID)
		require.Equal(t, c.event.Topic, invalid.Topic)
	}
}

func requireVersion7(t *testing.T, id string) {
	t.Helper()
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
}

// An operator's change of the limit is followed at once, on open connections.
func TestChangedSizeLimit(t *testing.T) {
	t.Parallel()
	address := testservers.Migrated(t)
	all := ways(t, address)
	fits := outbox.Event{Topic: "t", Key: "k", Payload: []byte("123456789")}
	large := outbox.Event{Topic: "t", Key: "k", Payload: []byte("1234567890")}
	for _, w := range all {
		_, err := w.try(t, large)
		require.NoError(t, err, w.name)
	}
	_, err := connect(t, address).Exec(t.Context(), "UPDATE tandem.settings SET max_event_bytes = 10")
	require.NoError(t, err)
	for _, w := range all {
		_, err := w.try(t, fits)
		require.NoError(t, err, w.name)
		_, err = w.try(t, fits, large)
		field, limit := refusal(t, err)
		require.Equal(t, "payload", field, w.name)
		require.Equal(t, 10, limit, w.name)
		var invalid *outbox.InvalidEventError
		if !w.sql {
			require.ErrorAs(t, err, &invalid, w.name)
			require.Equal(t, 1, invalid.Index, w.name)
		}
	}
}

// What is wrong about a call, rather than about an event.
func TestRefusalNamesTheEvent(t *testing.T) {
	t.Parallel()
	id := outbox.NewID()
	for _, w := range ways(t, testservers.Migrated(t)) {
		if w.sql {
			continue // one event a call
		}
		for name, c := range map[string]struct {
			events []outbox.Event
			want   outbox.InvalidEventError
		}{
			"an id twice": {
				[]outbox.Event{{Topic: "a", ID: id}, {Topic: "b"}, {Topic: "c", ID: strings.ToUpper(id)}},
				outbox.InvalidEventError{Index: 2, ID: strings.ToUpper(id), Topic: "c", Field: "id", Reason: "event 0 of the same call has it too"},
			},
			"the first of two": {
				[]outbox.Event{{Topic: "a"}, {Topic: ""}, {Topic: "b", Partition: new(int32(-2))}},
				outbox.InvalidEventError{Index: 1, Field: "topic", Reason: "is empty"},
			},
			"one too large": {
				[]outbox.Event{{Topic: "a"}, {Topic: "b", ID: id, Payload: make([]byte, 900_002)}, {Topic: "c"}},
				outbox.InvalidEventError{Index: 1, ID: id, Topic: "b", Field: "payload", Limit: 900_000,
					Reason: "key, headers and payload together are 900002 bytes, allowed are 900000 (tandem.settings.max_event_bytes)"},
			},
		} {
			_, err := w.try(t, c.events...)
			var invalid *outbox.InvalidEventError
			require.ErrorAs(t, err, &invalid, "%s: %s", w.name, name)
			require.Equal(t, c.want, *invalid, "%s: %s", w.name, name)
		}
	}
}

func TestErrorTextIsBounded(t *testing.T) {
	t.Parallel()
	err := outbox.InvalidEventError{Index: 3, ID: strings.Repeat("i", 10_000), Topic: strings.Repeat("t", 10_000), Field: "topic", Reason: "is odd"}
	require.Contains(t, err.Error(), "event 3 of the call")
	require.Less(t, len(err.Error()), 300)
}
