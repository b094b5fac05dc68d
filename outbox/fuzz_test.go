package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// FuzzGoAgreesWithSQL gives the same event to outbox.Add and to tandem.add:
// same answer, same field, and when taken the same row.
//
//	go test ./outbox -run - -fuzz FuzzGoAgreesWithSQL -fuzztime 1m
func FuzzGoAgreesWithSQL(f *testing.F) {
	for _, c := range append(acceptedCases, refusedCases...) {
		e := c.event
		if len(e.Payload)+len(e.Key) > 10_000 || len(e.Headers) > 1 || e.ID != "" || (e.Tombstone && len(e.Payload) > 0) {
			continue
		}
		name, value := "", ""
		for name, value = range e.Headers {
		}
		partition := int32(0)
		if e.Partition != nil {
			partition = *e.Partition
		}
		f.Add(e.Topic, e.Key, e.Type, e.Headers != nil, name, value, e.Payload, e.Tombstone, e.Partition != nil, partition,
			e.AtMostOnce, micros(e.NotBefore), micros(e.Expires))
	}
	// 100 bytes are enough for the size limit's edge to be found.
	address := testservers.Migrated(f)
	_, err := connect(f, address).Exec(context.Background(), "UPDATE tandem.settings SET max_event_bytes = 100")
	require.NoError(f, err)
	address = asWriter(f, address)
	inGo := inPgx(f, address, pgx.QueryExecModeCacheStatement, outbox.Add)
	inSQL := inPgx(f, address, pgx.QueryExecModeCacheStatement, addBySQL)

	f.Fuzz(func(t *testing.T, topic, key, eventType string, header bool, name, value string,
		payload []byte, tombstone, hasPartition bool, partition int32, atMostOnce bool, notBefore, expires int64) {
		e := outbox.Event{Topic: topic, Key: key, Type: eventType, Payload: payload, Tombstone: tombstone,
			AtMostOnce: atMostOnce, NotBefore: fromMicros(notBefore), Expires: fromMicros(expires)}
		if header {
			e.Headers = map[string]string{name: value}
		}
		if hasPartition {
			e.Partition = &partition
		}
		if e.Tombstone {
			e.Payload = nil // SQL has no way to say both
		}
		requireAgreement(t, e, inGo, inSQL)
	})
}

func requireAgreement(t *testing.T, e outbox.Event, inGo, inSQL func(testing.TB, ...outbox.Event) ([]stored, error)) {
	fromGo, errGo := inGo(t, e)
	if !inText(e) {
		var invalid *outbox.InvalidEventError
		require.ErrorAs(t, errGo, &invalid)
		return // and SQL cannot even be asked
	}
	fromSQL, errSQL := inSQL(t, e)
	if errGo != nil || errSQL != nil {
		require.Error(t, errGo, "SQL says: %v", errSQL)
		require.Error(t, errSQL, "Go says: %v", errGo)
		fieldGo, limitGo := refusal(t, errGo)
		fieldSQL, limitSQL := refusal(t, errSQL)
		require.Equal(t, fieldGo, fieldSQL, "%v\n%v", errGo, errSQL)
		require.Equal(t, limitGo, limitSQL, "%v\n%v", errGo, errSQL)
		return
	}
	want := asStored(e)
	want.ID, fromSQL[0].ID = fromGo[0].ID, fromGo[0].ID
	require.Equal(t, []stored{want}, fromGo)
	require.Equal(t, []stored{want}, fromSQL)
}

// micros are since 1970; 0 is no time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

// inText tells whether Postgres has a form for all of e.
func inText(e outbox.Event) bool {
	for _, t := range []time.Time{e.NotBefore, e.Expires} {
		if y := t.UTC().Year(); y <= -4712 || y >= 294_276 {
			return false
		}
	}
	texts := []string{e.Topic, e.Key, e.Type}
	for name, value := range e.Headers {
		texts = append(texts, name, value)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return false
		}
	}
	return true
}

// FuzzArrays sends awkward texts and bytes through the array literals of
// outboxsql: they arrive as they were.
func FuzzArrays(f *testing.F) {
	for _, seed := range []string{"", "NULL", `"`, `\`, `\\x00`, "{}", ",", " ", "\n", "é🔑", "\x00\xff", `{"a","b"}`} {
		f.Add(seed, []byte(seed))
	}
	try := inDatabaseSQL(f, asWriter(f, testservers.Migrated(f)), "postgres")
	f.Fuzz(func(t *testing.T, text string, payload []byte) {
		e := outbox.Event{Topic: "t", Key: text, Payload: payload, Headers: map[string]string{"h": text}}
		events, err := try(t, e, outbox.Event{Topic: "u", Payload: bytes.Clone(payload)})
		var invalid *outbox.InvalidEventError
		if errors.As(err, &invalid) {
			require.False(t, inText(e))
			return
		}
		require.NoError(t, err)
		want := asStored(e)
		want.ID = events[0].ID
		require.Equal(t, want, events[0])
	})
}

// FuzzEventID: an id that is taken is stored as the UUID that it spells.
func FuzzEventID(f *testing.F) {
	for _, id := range []string{outbox.NewID(), strings.ToUpper(outbox.NewID()), "00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-000000000000}",
		"urn:uuid:00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000", "0000000-00000-0000-0000-000000000000", "\x00", "x"} {
		f.Add(id)
	}
	try := inPgx(f, asWriter(f, testservers.Migrated(f)), pgx.QueryExecModeCacheStatement, outbox.Add)
	f.Fuzz(func(t *testing.T, id string) {
		events, err := try(t, outbox.Event{Topic: "t", ID: id})
		if err != nil {
			field, _ := refusal(t, err)
			require.Equal(t, "id", field)
			return
		}
		if id != "" {
			require.Equal(t, strings.ToLower(id), events[0].ID)
		}
	})
}

// FuzzCause: a handler may add events whatever the message was that it handles.
func FuzzCause(f *testing.F) {
	f.Add("m-2", "m-0", traceparent, "a=1")
	f.Add("", "a\x00", "00-", strings.Repeat("x", 513))
	f.Add("\xff", strings.Repeat("é", 501), "01"+traceparent[2:]+"-x", "\n")
	try := inPgx(f, asWriter(f, testservers.Migrated(f)), pgx.QueryExecModeCacheStatement, outbox.Add)
	f.Fuzz(func(t *testing.T, id, correlation, parent, state string) {
		ctx := inbox.WithCause(t.Context(), inbox.Message{ID: id, Headers: []inbox.Header{
			{Name: "ce_correlationid", Value: []byte(correlation)}, {Name: "traceparent", Value: []byte(parent)}, {Name: "tracestate", Value: []byte(state)},
		}})
		events, err := try(inContext{t, ctx}, outbox.Event{Topic: "t"})
		require.NoError(t, err)
		for name, value := range events[0].Headers {
			want := map[string]string{"ce_causationid": id, "ce_correlationid": correlation, "traceparent": parent, "tracestate": state}[name]
			if name == "ce_correlationid" && value != want {
				want = id // where the message began it all
			}
			require.Equal(t, want, value, name)
		}
	})
}

// inContext is a test whose context is another's child.
type inContext struct {
	testing.TB
	ctx context.Context
}

func (i inContext) Context() context.Context { return i.ctx }
