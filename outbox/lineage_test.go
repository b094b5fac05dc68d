package outbox_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// Consume, effects, produce: what a handler adds tells what it comes from,
// whichever way it is added.
func TestEventsTellWhatTheyComeFrom(t *testing.T) {
	t.Parallel()
	address := asWriter(t, testservers.Migrated(t))
	conn := connect(t, address)
	db, err := sql.Open("pgx", address)
	require.NoError(t, err)
	defer db.Close()
	m := inbox.Message{ID: "m-2", Headers: []inbox.Header{
		{Name: "ce_id", Value: []byte("m-2")}, {Name: "ce_correlationid", Value: []byte("m-0")},
		{Name: "traceparent", Value: []byte(traceparent)}, {Name: "tracestate", Value: []byte("a=1")},
	}}
	own := map[string]string{"ce_correlationid": "mine", "x": "y"}
	events := []outbox.Event{{Topic: "t"}, {Topic: "t", Headers: own}}
	want := []map[string]string{
		{"ce_causationid": "m-2", "ce_correlationid": "m-0", "traceparent": traceparent, "tracestate": "a=1"},
		{"ce_causationid": "m-2", "ce_correlationid": "mine", "traceparent": traceparent, "tracestate": "a=1", "x": "y"},
	}
	ctx := inbox.WithCause(t.Context(), m)
	for name, add := range map[string]func(ctx context.Context) []stored{
		"Add": func(ctx context.Context) []stored {
			tx := begin(t, conn)
			defer func() { _ = tx.Rollback(t.Context()) }()
			require.NoError(t, outbox.Add(ctx, tx, events...))
			return inLog(t, tx)
		},
		"Queue": func(ctx context.Context) []stored {
			tx := begin(t, conn)
			defer func() { _ = tx.Rollback(t.Context()) }()
			batch := &pgx.Batch{}
			require.NoError(t, outbox.Queue(ctx, batch, events...))
			require.NoError(t, tx.SendBatch(t.Context(), batch).Close())
			return inLog(t, tx)
		},
		"outboxsql.Add": func(ctx context.Context) []stored {
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			defer tx.Rollback()
			require.NoError(t, outboxsql.Add(ctx, tx, events...))
			_, err = tx.ExecContext(t.Context(), "SET LOCAL ROLE NONE")
			require.NoError(t, err)
			var text string
			require.NoError(t, tx.QueryRowContext(t.Context(), readLog).Scan(&text))
			return decode(t, text)
		},
	} {
		got := add(ctx)
		require.Equal(t, want[0], got[0].Headers, name)
		require.Equal(t, want[1], got[1].Headers, name)
		require.Empty(t, add(t.Context())[0].Headers, name)
	}
	require.Equal(t, map[string]string{"ce_correlationid": "mine", "x": "y"}, own, "the caller's map is the caller's")
}

// What came from outside never keeps a handler from adding its events.
func TestRubbishFromOutsideIsLeftOut(t *testing.T) {
	t.Parallel()
	conn := connect(t, asWriter(t, testservers.Migrated(t)))
	for name, rubbish := range map[string]string{
		"zero byte": "\x00", "not UTF-8": "\xff", "too long": strings.Repeat("x", 1_000_000),
	} {
		tx := begin(t, conn)
		ctx := inbox.WithCause(t.Context(), inbox.Message{ID: rubbish, Headers: []inbox.Header{
			{Name: "ce_correlationid", Value: []byte(rubbish)}, {Name: "traceparent", Value: []byte(rubbish)}, {Name: "tracestate", Value: []byte(rubbish)}}})
		require.NoError(t, outbox.Add(ctx, tx, outbox.Event{Topic: "t", Headers: map[string]string{"x": "y"}}), name)
		require.Equal(t, map[string]string{"x": "y"}, inLog(t, tx)[0].Headers, name)
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

// The limit on an event's size counts them.
func TestTheLimitCountsWhatIsAdded(t *testing.T) {
	t.Parallel()
	conn := connect(t, asWriter(t, testservers.Migrated(t)))
	ctx := inbox.WithCause(t.Context(), inbox.Message{ID: "m-1"})
	room := 900_000 - len("ce_causationid") - len("m-1") - len("ce_correlationid") - len("m-1")
	tx := begin(t, conn)
	require.NoError(t, outbox.Add(ctx, tx, outbox.Event{Topic: "t", Payload: make([]byte, room)}))
	err := outbox.Add(ctx, tx, outbox.Event{Topic: "t", Payload: make([]byte, room+1)})
	var invalid *outbox.InvalidEventError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "payload", invalid.Field)
	require.Contains(t, invalid.Reason, "900001 bytes")
}
