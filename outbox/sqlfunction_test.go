package outbox_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// The payload's forms, as SQL and drivers write them.
func TestPayloadForms(t *testing.T) {
	t.Parallel()
	conn := connect(t, asWriter(t, testservers.Migrated(t)))
	const isJSON, plain = `{"content-type": "application/json"}`, ""
	for statement, want := range map[string]struct {
		payload any
		headers string
	}{
		`SELECT tandem.add('t', 'a \ b é')`:                                     {`a \ b é`, plain},
		`SELECT tandem.add('t', ' {"b":1, "a":2}'::text)`:                       {` {"b":1, "a":2}`, plain},
		`SELECT tandem.add('t', ''::varchar)`:                                   {``, plain},
		`SELECT tandem.add('t', ' {"b":1, "a":2}'::json)`:                       {` {"b":1, "a":2}`, isJSON},
		`SELECT tandem.add('t', '{"b":1,"a":2}'::jsonb)`:                        {`{"a": 2, "b": 1}`, isJSON},
		`SELECT tandem.add('t', '"\u0000"'::json)`:                              {`"\u0000"`, isJSON},
		`SELECT tandem.add('t', '\x00ff5c'::bytea)`:                             {"\x00\xff\\", plain},
		`SELECT tandem.add('t', NULL)`:                                          {nil, plain},
		`SELECT tandem.add('t', NULL::bytea)`:                                   {nil, plain},
		`SELECT tandem.add('t', NULL::text)`:                                    {nil, plain},
		`SELECT tandem.add('t', 'null'::jsonb)`:                                 {"null", isJSON},
		`SELECT tandem.add(payload => 'x', topic => 't')`:                       {"x", plain},
		`SELECT tandem.add('t', 'x', headers => NULL, key => '', type => '')`:   {"x", plain},
		`SELECT tandem.add('t', '1'::json, headers => '{"a": "b"}')`:            {"1", `{"a": "b", "content-type": "application/json"}`},
		`SELECT tandem.add('t', '1'::json, headers => '{"content-type": "x"}')`: {"1", `{"content-type": "x"}`},
		`SELECT tandem.add('t', row_to_json(r)) FROM (SELECT 1 AS a) r`:         {`{"a":1}`, isJSON},
		`SELECT tandem.add('t', to_jsonb(r)) FROM (SELECT 1 AS a) r`:            {`{"a": 1}`, isJSON},
	} {
		payload, headers := added(t, conn, statement)
		if want.payload == nil {
			require.Nil(t, payload, statement)
		} else {
			require.Equal(t, want.payload, string(payload), statement)
			require.NotNil(t, payload, statement)
		}
		if want.headers == "" {
			require.Nil(t, headers, statement)
		} else {
			require.JSONEq(t, want.headers, *headers, statement)
		}
	}
}

// added runs statement as a writer and reads back the one event it has added.
func added(t testing.TB, conn *pgx.Conn, statement string) (payload []byte, headers *string) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	var id string
	require.NoError(t, tx.QueryRow(t.Context(), statement).Scan(&id), statement)
	_, err = tx.Exec(t.Context(), "SET LOCAL ROLE NONE")
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(t.Context(),
		"SELECT payload, headers::text FROM tandem.log WHERE id = $1 AND key IS NULL AND type IS NULL", id).Scan(&payload, &headers), statement)
	return payload, headers
}

// What only SQL can be given.
func TestRefusedBySQLAlone(t *testing.T) {
	t.Parallel()
	conn := connect(t, asWriter(t, testservers.Migrated(t)))
	for statement, field := range map[string]string{
		`SELECT tandem.add(NULL, 'x')`:                                  "topic",
		`SELECT tandem.add('t', 'x', not_before => 'infinity')`:         "not_before",
		`SELECT tandem.add('t', 'x', not_before => '-infinity')`:        "not_before",
		`SELECT tandem.add('t', 'x', expires => 'infinity')`:            "expires",
		`SELECT tandem.add('t', 'x', expires => '-infinity')`:           "expires",
		`SELECT tandem.add('t', 'x', expires => '0001-01-01 00:00+00')`: "expires", // "none" in Go
		`SELECT tandem.add('t', 'x', headers => '[]')`:                  "headers",
		`SELECT tandem.add('t', 'x', headers => 'null')`:                "headers",
		`SELECT tandem.add('t', 'x', headers => '"a"')`:                 "headers",
		`SELECT tandem.add('t', 'x', headers => '{"a": 1}')`:            "headers",
		`SELECT tandem.add('t', 'x', headers => '{"a": null}')`:         "headers",
		`SELECT tandem.add('t', 'x', headers => '{"a": {"b": "c"}}')`:   "headers",
		`SELECT tandem.add('t', 'x', headers => '{"Ce_type": "mine"}')`: "headers",
	} {
		_, err := conn.Exec(t.Context(), statement)
		got, _ := refusal(t, err)
		require.Equal(t, field, got, statement)
	}
}

// A trigger of the service's own writes in the transaction of the row.
func TestTrigger(t *testing.T) {
	t.Parallel()
	writer, admin := shop(t)
	_, err := admin.Exec(t.Context(), `
		CREATE FUNCTION public.announce() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM tandem.lock_key(NEW.id);
			PERFORM tandem.add('orders', row_to_json(NEW), key => NEW.id, type => 'order.' || lower(TG_OP));
			RETURN NEW;
		END $$;
		CREATE TRIGGER announce AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.announce()`)
	require.NoError(t, err)
	_, err = writer.Exec(t.Context(), "INSERT INTO public.orders VALUES ('7'), ('8')")
	require.NoError(t, err)
	var payloads []string
	require.NoError(t, admin.QueryRow(t.Context(),
		"SELECT array_agg(key || type || convert_from(payload, 'UTF8') ORDER BY position) FROM tandem.log").Scan(&payloads))
	require.Equal(t, []string{`7order.insert{"id":"7"}`, `8order.insert{"id":"8"}`}, payloads)
}

// Ids that SQL makes are of version 7 and of now.
func TestSQLMakesVersion7(t *testing.T) {
	t.Parallel()
	conn := connect(t, testservers.Migrated(t))
	var id string
	var age float64
	require.NoError(t, conn.QueryRow(t.Context(),
		"SELECT id, abs(extract(epoch FROM clock_timestamp() - tandem.uuid_time(id))) FROM (SELECT tandem.add('t', 'x') AS id) a").Scan(&id, &age))
	requireVersion7(t, id)
	require.Less(t, age, 1.0)
}
