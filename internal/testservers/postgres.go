package testservers

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// cleanupTimeout bounds what a test's cleanup asks of a server.
const cleanupTimeout = 30 * time.Second

// Postgres returns the URL of a fresh, empty database, as a superuser. It is
// dropped when the test ends, with whatever still is connected to it.
func Postgres(t testing.TB) string {
	t.Helper()
	return fresh(t, postgresURL(t), "template0")
}

// PostgresFrom returns the URL of a fresh copy of the template database of that
// name. The first caller on a server, among all processes, makes the template:
// prepare fills an empty database. A change in what prepare does needs another
// name, because a server of yours may still have the old template.
func PostgresFrom(t testing.TB, name string, prepare func(url string) error) string {
	t.Helper()
	server := postgresURL(t)
	if err := ensureTemplate(t.Context(), server, name, prepare); err != nil {
		t.Fatalf("make the template database %s: %v", name, err)
	}
	return fresh(t, server, name)
}

func postgresURL(t testing.TB) *url.URL {
	t.Helper()
	server, err := postgresServer.get(context.Background())
	if err != nil {
		Missing(t, postgresServer.name, err)
	}
	u, err := url.Parse(server.address)
	if err != nil || u.Scheme == "" {
		t.Fatalf("%s is not a URL like postgres://user@host:5432/postgres", DatabaseURLVariable) // and may hold a password
	}
	return u
}

func withDatabase(server *url.URL, name string) string {
	u := *server
	u.Path = "/" + name
	return u.String()
}

func fresh(t testing.TB, server *url.URL, template string) string {
	t.Helper()
	name := uniqueName(t, "_")
	create := fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", quoted(name), quoted(template))
	if err := execute(t.Context(), server, create); err != nil {
		t.Fatalf("create a database for the test: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := execute(ctx, server, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", quoted(name))); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return withDatabase(server, name)
}

// execute runs statements one by one, each in a transaction of its own.
func execute(ctx context.Context, server *url.URL, statements ...string) error {
	return connected(ctx, server, func(conn *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

func connected(ctx context.Context, server *url.URL, f func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, server.String())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return f(conn)
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// uniqueName makes a name from that of the test which both servers accept.
func uniqueName(t testing.TB, separator string) string {
	const longest = 30
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return -1
		}
	}, t.Name())
	return name[:min(longest, len(name))] + separator + random()
}
