// Package testinbox is what the tests of the inbox's packages share.
package testinbox

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// AsConsumer makes a superuser's URL one with a consumer's rights alone and
// without a search_path, so that an unqualified name fails.
func AsConsumer(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	check(t, err)
	q := u.Query()
	q.Set("role", "tandem_consumer")
	q.Set("search_path", "")
	u.RawQuery = q.Encode()
	return u.String()
}

// Pool connects to a database until the test ends.
func Pool(t testing.TB, address string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(address)
	check(t, err)
	config.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	check(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// Effects makes a table of effects, which a handler with a consumer's rights
// may add to.
func Effects(t testing.TB, admin *pgxpool.Pool) {
	t.Helper()
	_, err := admin.Exec(t.Context(), `
		CREATE SCHEMA app;
		GRANT USAGE ON SCHEMA app TO tandem_consumer;
		CREATE TABLE app.effects (n bigint GENERATED ALWAYS AS IDENTITY, name text);
		CREATE TABLE app.counters (name text PRIMARY KEY, value bigint NOT NULL DEFAULT 0);
		GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA app TO tandem_consumer;`)
	check(t, err)
}

// Count runs a query that returns one number.
func Count(t testing.TB, pool *pgxpool.Pool, query string, args ...any) int {
	t.Helper()
	var n int
	check(t, pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

// Strings runs a query that returns one column of text.
func Strings(t testing.TB, pool *pgxpool.Pool, query string, args ...any) []string {
	t.Helper()
	var out []string
	check(t, pool.QueryRow(t.Context(), query, args...).Scan(&out))
	return out
}

// V7At is a new UUIDv7 as it would have been made at a moment.
func V7At(moment time.Time) string {
	id := uuid.Must(uuid.NewV7()).String()
	ms := fmt.Sprintf("%012x", moment.UnixMilli())
	return ms[:8] + "-" + ms[8:] + id[13:]
}

// AwaitBlocked waits until n sessions of the database wait for a lock.
func AwaitBlocked(t testing.TB, pool *pgxpool.Pool, n int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if Count(t, pool, `SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted
			AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no session waits for a lock")
		}
		<-tick.C
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
