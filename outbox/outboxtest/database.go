package outboxtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/migrations"
)

// Migrate brings Tandem's schema, "tandem", into the database, as far as it is not
// there. The login has to be one that may create a schema.
func Migrate(t testing.TB, databaseURL string) {
	t.Helper()
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		t.Fatalf("outboxtest: the database URL: %v", err) // pgx leaves the password out
	}
	m, err := migrations.Open(config, "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatalf("outboxtest: bring the schema into database %s: %v", config.Database, err)
	}
}

// Database makes a database with Tandem's schema on the server of that URL, and
// returns its URL; it is dropped when the test ends. The login has to be one that may
// create a database. Your own tables are yours to create there.
func Database(t testing.TB, serverURL string) (databaseURL string) {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		t.Fatal("outboxtest: the server's address is not a URL like postgres://user@host:5432/postgres") // and may hold a password
	}
	name := "outboxtest_" + strings.ToLower(rand.Text())
	if _, err := connect(t, serverURL).Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("outboxtest: create a database for the test: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := drop(ctx, serverURL, name); err != nil {
			t.Errorf("outboxtest: drop the test's database: %v", err)
		}
	})
	u.Path = "/" + name
	query := u.Query()
	query.Del("dbname") // either would have the last word
	query.Del("database")
	u.RawQuery = query.Encode()
	Migrate(t, u.String())
	return u.String()
}

// drop also ends the sessions that are still there.
func drop(ctx context.Context, serverURL, name string) error {
	conn, err := pgx.Connect(ctx, serverURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)); err != nil {
		return err
	}
	return nil
}
