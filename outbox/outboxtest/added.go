package outboxtest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/pgerror"
	"github.com/tandem-outbox/tandem/internal/sqltx"
	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

// Tx is a transaction: a [pgx.Tx], or [SQL] of one of database/sql. A pool is none,
// and the compiler refuses it: use [Watch] there.
type Tx interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
	Commit(ctx context.Context) error
}

// RequireAdded fails the test unless what tx has added to the outbox so far is just
// this, in this order.
func RequireAdded(t testing.TB, tx Tx, want ...outbox.Event) {
	t.Helper()
	requireSame(t, "the transaction has added other events than expected", Added(t, tx), want)
}

// RequireNoneAdded fails the test where tx has added an event.
func RequireNoneAdded(t testing.TB, tx Tx) {
	t.Helper()
	RequireAdded(t, tx)
}

// ofTransactionSQL walks the index on tx. The events are one row of JSON, which
// every driver can read.
const ofTransactionSQL = `SELECT ` + eventsSQL + ` FROM tandem.log WHERE tx = pg_current_xact_id()`

const eventsSQL = `coalesce(json_agg(json_build_object('id', id, 'topic', topic, 'partition', partition, 'key', key, 'type', type, 'headers', headers,
	'payload', encode(payload, 'base64'), 'at_most_once', at_most_once, 'not_before', not_before, 'expires', expires) ORDER BY position), '[]')::text`

// Added returns what tx has added to the outbox so far, in order, each with its id.
func Added(t testing.TB, tx Tx) []outbox.Event {
	t.Helper()
	var text string
	if err := tx.QueryRow(t.Context(), ofTransactionSQL).Scan(&text); err != nil {
		t.Fatal(explain(err))
	}
	return decode(t, text)
}

func decode(t testing.TB, text string) []outbox.Event {
	t.Helper()
	var rows []struct {
		ID         string
		Topic      string
		Partition  *int32
		Key        string
		Type       string
		Headers    map[string]string
		Payload    *[]byte    // nil is a tombstone
		AtMostOnce bool       `json:"at_most_once"`
		NotBefore  *time.Time `json:"not_before"`
		Expires    *time.Time
	}
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatalf("outboxtest: read the log: %v", err)
	}
	events := make([]outbox.Event, len(rows))
	for i, r := range rows {
		events[i] = outbox.Event{
			ID: r.ID, Topic: r.Topic, Key: r.Key, Type: r.Type, Tombstone: r.Payload == nil, Headers: r.Headers,
			Partition: r.Partition, AtMostOnce: r.AtMostOnce,
		}
		if r.Payload != nil {
			events[i].Payload = *r.Payload
		}
		if r.NotBefore != nil {
			events[i].NotBefore = r.NotBefore.UTC()
		}
		if r.Expires != nil {
			events[i].Expires = r.Expires.UTC()
		}
	}
	return events
}

// explain adds what to do next.
func explain(err error) error {
	next := ""
	switch pgerror.State(err) {
	case "42501": // insufficient_privilege
		next = "; this login may not read the log, which a member of tandem_writer has no right to: connect the test as the owner of the schema or as a superuser, or GRANT SELECT ON tandem.log in the test's database"
	case "42P01", "3F000": // undefined_table, invalid_schema_name
		next = "; outboxtest.Migrate brings the schema into a test's database"
	case "25P02": // in_failed_sql_transaction
		next = "; a statement before has failed, and the transaction with it: nothing of it will be there"
	}
	return fmt.Errorf("outboxtest: read the log: %w%s", err, next)
}

// SQL makes a [Tx] of a transaction of database/sql, or of what stands on one.
func SQL(tx outboxsql.Tx) Tx { return sqlTx{sqltx.Beneath(tx)} }

type sqlTx struct{ sqltx.Tx }

func (s sqlTx) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if s.Tx == nil {
		return noRow{}
	}
	return s.QueryRowContext(ctx, query, args...)
}

func (s sqlTx) Commit(context.Context) error { return s.Tx.Commit() }

type noRow struct{}

func (noRow) Scan(...any) error { return outbox.ErrNoTransaction }

var _ pgx.Row = (*sql.Row)(nil)
