package outbox_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// asWriter makes a superuser's URL one with a writer's rights alone and without
// a search_path, so that an unqualified name fails. SET ROLE NONE ends the first.
func asWriter(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	q := u.Query()
	q.Set("role", "tandem_writer")
	q.Set("search_path", "")
	q.Set("statement_timeout", "60s") // a test that waits for itself fails
	if !q.Has("sslmode") {
		q.Set("sslmode", "disable")
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(address)
	require.NoError(t, err)
	return connectWith(t, config)
}

func connectWith(t testing.TB, config *pgx.ConnConfig) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func begin(t testing.TB, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// stored is an event as it stands in the log.
type stored struct {
	ID        string
	Topic     string
	Partition *int32
	Key       *string
	Type      *string
	Headers   map[string]string
	Payload   *string // MD5, because it may be large

	AtMostOnce *bool
	NotBefore  *string // in UTC, to the microsecond
	Expires    *string
}

// readLog gives the events in the order of their positions, as JSON, so that
// every driver reads them alike. As the superuser: a writer may not.
const readLog = `SELECT coalesce(json_agg(json_build_object('ID', id, 'Topic', topic, 'Partition', partition, 'Key', key,
	'Type', type, 'Headers', headers, 'Payload', md5(payload),
	'AtMostOnce', at_most_once, 'NotBefore', to_char(not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
	'Expires', to_char(expires AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')) ORDER BY position), '[]')::text FROM tandem.log`

func decode(t testing.TB, text string) []stored {
	t.Helper()
	var events []stored
	require.NoError(t, json.Unmarshal([]byte(text), &events))
	return events
}

// inLog reads the log in tx, which is the superuser's from then on.
func inLog(t testing.TB, tx pgx.Tx) []stored {
	t.Helper()
	_, err := tx.Exec(t.Context(), "SET LOCAL ROLE NONE")
	require.NoError(t, err)
	var text string
	require.NoError(t, tx.QueryRow(t.Context(), readLog).Scan(&text))
	return decode(t, text)
}

// asStored is what the log should hold of e; the id only where e has one.
func asStored(e outbox.Event) stored {
	s := stored{ID: e.ID, Topic: e.Topic, Partition: e.Partition, Headers: e.Headers}
	if len(e.Headers) == 0 {
		s.Headers = nil
	}
	if e.Key != "" {
		s.Key = &e.Key
	}
	if e.Type != "" {
		s.Type = &e.Type
	}
	if !e.Tombstone {
		sum := md5.Sum(e.Payload)
		s.Payload = new(hex.EncodeToString(sum[:]))
	}
	if e.AtMostOnce {
		s.AtMostOnce = new(true)
	}
	s.NotBefore, s.Expires = timeAsStored(e.NotBefore), timeAsStored(e.Expires)
	return s
}

func timeAsStored(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Format("2006-01-02 15:04:05.000000"))
}
