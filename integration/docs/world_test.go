package docs_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// world is what the documents take for granted: the database "shop" and its logins
// owner, relay, shop and billing, each with the password "secret"; tables of a shop;
// a Kafka without topics; the programs. Its servers are its own, because roles and
// topics have plain names.
type world struct {
	*testing.T
	url      func(login string) string
	brokers  []string
	programs string // the directory they are in
}

// tables are those of the services in the documents.
const tables = `
	CREATE TABLE orders (id text PRIMARY KEY, cents integer NOT NULL);
	CREATE TABLE moves (sku text NOT NULL, n integer NOT NULL);
	CREATE TABLE bookings (payment_id text PRIMARY KEY, cents integer NOT NULL);
	CREATE TABLE charges (order_id text PRIMARY KEY);
	GRANT SELECT, INSERT, UPDATE ON orders, moves TO shop;
	GRANT SELECT, INSERT ON bookings, charges TO billing`

func newWorld(t *testing.T) *world {
	t.Helper()
	postgres := testservers.OwnPostgres(t)
	w := &world{T: t, brokers: testservers.OwnKafka(t).Brokers(), programs: t.TempDir()}
	testprograms.Build(t, w.programs, "-ldflags", "-X main.version=stamped", "./"+filepath.Join("..", "..", "cmd", "tandem"))
	superuser, err := pgx.ParseConfig(postgres.URL("postgres"))
	require.NoError(t, err)
	w.url = func(login string) string {
		if login == "postgres" {
			return postgres.URL("shop")
		}
		return fmt.Sprintf("postgres://%s:secret@%s:%d/shop?sslmode=disable", login, superuser.Host, superuser.Port)
	}
	admin, err := pgx.ConnectConfig(t.Context(), superuser)
	require.NoError(t, err)
	defer admin.Close(context.Background())
	for _, statement := range []string{
		`CREATE ROLE owner LOGIN PASSWORD 'secret' CREATEROLE`,
		`CREATE ROLE shop LOGIN PASSWORD 'secret'`, `CREATE ROLE relay LOGIN PASSWORD 'secret'`, `CREATE ROLE billing LOGIN PASSWORD 'secret'`,
		`CREATE DATABASE shop OWNER owner`,
	} {
		_, err = admin.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	w.exec("owner", tables)
	return w
}

// exec runs statements as a login.
func (w *world) exec(login, statements string) {
	w.Helper()
	conn, err := pgx.Connect(w.Context(), w.url(login))
	require.NoError(w, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(w.Context(), statements)
	require.NoError(w, err)
}

// pool is one of a login's, closed at the end.
func (w *world) pool(login string) *pgxpool.Pool {
	w.Helper()
	pool, err := pgxpool.New(context.Background(), w.url(login))
	require.NoError(w, err)
	w.Cleanup(pool.Close)
	return pool
}

// count is the number that a query answers.
func (w *world) count(query string) int {
	w.Helper()
	n, err := w.number(query)
	require.NoErrorf(w, err, "%s", query)
	return n
}

func (w *world) number(query string) (n int, err error) {
	conn, err := pgx.Connect(w.Context(), w.url("postgres"))
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(w.Context(), query).Scan(&n)
	return n, err
}

// topics makes topics of three partitions.
func (w *world) topics(names ...string) {
	w.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...))
	require.NoError(w, err)
	defer client.Close()
	created, err := kadm.NewClient(client).CreateTopics(w.Context(), 3, 1, nil, names...)
	require.NoError(w, err)
	require.NoError(w, created.Error())
}

// read returns the first n records of a topic by their keys.
func (w *world) read(topic string, n int) map[string][]*kgo.Record {
	w.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(w, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	records := map[string][]*kgo.Record{}
	for seen := 0; seen < n; {
		fetches := client.PollFetches(ctx)
		require.NoError(w, fetches.Err())
		for _, r := range fetches.Records() {
			records[string(r.Key)] = append(records[string(r.Key)], r)
			seen++
		}
	}
	return records
}

// header is the value of a record's header.
func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
