package testservers

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// templates are those that this process has seen on its server.
var templates sync.Map

// ensureTemplate makes the template database unless it is there. The lock keeps
// other processes away meanwhile. A template has its name only when it is
// complete: it is made under another one, which a killed process may leave.
func ensureTemplate(ctx context.Context, server *url.URL, name string, prepare func(url string) error) error {
	if _, seen := templates.Load(name); seen {
		return nil
	}
	err := connected(ctx, server, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", "tandem test template "+name); err != nil {
			return err
		}
		var there bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
			return err
		}
		return makeTemplate(ctx, server, name, prepare)
	})
	if err == nil {
		templates.Store(name, true)
	}
	return err
}

func makeTemplate(ctx context.Context, server *url.URL, name string, prepare func(url string) error) error {
	draft := name + "_draft"
	if err := execute(ctx, server,
		"DROP DATABASE IF EXISTS "+quoted(draft)+" WITH (FORCE)",
		"CREATE DATABASE "+quoted(draft)+" TEMPLATE template0"); err != nil {
		return err
	}
	if err := prepare(withDatabase(server, draft)); err != nil {
		return err
	}
	// A database that somebody is connected to can be neither renamed nor copied.
	return execute(ctx, server,
		"ALTER DATABASE "+quoted(draft)+" ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+strings.ReplaceAll(draft, "'", "''")+"'",
		"ALTER DATABASE "+quoted(draft)+" RENAME TO "+quoted(name))
}

// random is eight characters that no other test has.
func random() string { return strings.ToLower(rand.Text()[:8]) }
