package outbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/outbox"
	"github.com/tandem-outbox/tandem/outbox/outboxsql"
)

// way is one of the ways in which an event gets into the log.
type way struct {
	name string
	// try adds the events in a transaction that is rolled back, and gives what
	// the log held of it, or the refusal.
	try func(t testing.TB, events ...outbox.Event) ([]stored, error)
	sql bool // it is tandem.add
}

// ways opens each way into the database, as a writer.
func ways(t testing.TB, address string) []way {
	t.Helper()
	address = asWriter(t, address)
	all := []way{
		{name: "Add", try: inPgx(t, address, pgx.QueryExecModeCacheStatement, outbox.Add)},
		{name: "Queue", try: inPgx(t, address, pgx.QueryExecModeCacheStatement, queue)},
		{name: "tandem.add", try: inPgx(t, address, pgx.QueryExecModeCacheStatement, addBySQL), sql: true},
	}
	for _, driver := range []string{"pgx", "postgres"} {
		all = append(all, way{name: "outboxsql on " + driver, try: inDatabaseSQL(t, address, driver)})
	}
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeCacheDescribe,
	} {
		all = append(all,
			way{name: "Add by " + mode.String(), try: inPgx(t, address, mode, outbox.Add)},
			way{name: "Queue by " + mode.String(), try: inPgx(t, address, mode, queue)})
	}
	return all
}

type addFunc func(ctx context.Context, tx pgx.Tx, events ...outbox.Event) error

func inPgx(t testing.TB, address string, mode pgx.QueryExecMode, add addFunc) func(testing.TB, ...outbox.Event) ([]stored, error) {
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	config.DefaultQueryExecMode = mode
	conn := connectWith(t, config)
	return func(t testing.TB, events ...outbox.Event) ([]stored, error) {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		defer func() { _ = tx.Rollback(t.Context()) }()
		if err := add(t.Context(), tx, events...); err != nil {
			return nil, err
		}
		return inLog(t, tx), nil
	}
}

func queue(ctx context.Context, tx pgx.Tx, events ...outbox.Event) error {
	batch := &pgx.Batch{}
	batch.Queue("SELECT 1")
	if err := outbox.Queue(ctx, batch, events...); err != nil {
		return err
	}
	batch.Queue("SELECT 2")
	return tx.SendBatch(ctx, batch).Close()
}

func inDatabaseSQL(t testing.TB, address, driver string) func(testing.TB, ...outbox.Event) ([]stored, error) {
	db, err := sql.Open(driver, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return func(t testing.TB, events ...outbox.Event) ([]stored, error) {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		if err := outboxsql.Add(t.Context(), tx, events...); err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(t.Context(), "SET LOCAL ROLE NONE")
		require.NoError(t, err)
		var text string
		require.NoError(t, tx.QueryRowContext(t.Context(), readLog).Scan(&text))
		return decode(t, text), nil
	}
}

func addBySQL(ctx context.Context, tx pgx.Tx, events ...outbox.Event) error {
	for _, e := range events {
		payload := e.Payload
		if payload == nil {
			payload = []byte{}
		}
		if e.Tombstone {
			payload = nil
		}
		headers, err := json.Marshal(e.Headers)
		if err != nil {
			return err
		}
		if e.Headers == nil {
			headers = []byte("{}")
		}
		var id *string
		if e.ID != "" {
			id = &e.ID
		}
		_, err = tx.Exec(ctx, `SELECT tandem.add(topic => $1, payload => $2::bytea, key => $3, headers => $4::text::jsonb,
			type => $5, id => $6::text::uuid, partition => $7, at_most_once => $8, not_before => $9, expires => $10)`,
			e.Topic, payload, e.Key, string(headers), e.Type, id, e.Partition, e.AtMostOnce, orNull(e.NotBefore), orNull(e.Expires))
		if err != nil {
			return err
		}
	}
	return nil
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// refusal is the field and the limit that err names, whichever way it came.
func refusal(t testing.TB, err error) (field string, limit int) {
	t.Helper()
	var invalid *outbox.InvalidEventError
	if errors.As(err, &invalid) {
		return invalid.Field, invalid.Limit
	}
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "TD001", pg.Code, pg.Message)
	if pg.Detail != "" {
		require.NoError(t, json.Unmarshal([]byte(pg.Detail), &limit))
	}
	return pg.ColumnName, limit
}
