package testservers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/migrations"
)

// Migrated returns the URL of a fresh database, as a superuser, with Tandem's
// schema "tandem" in it and nothing else: a copy of a template database, some
// tens of milliseconds. It is dropped when the test ends.
func Migrated(t testing.TB) string {
	t.Helper()
	return PostgresFrom(t, migratedName(t), migrate)
}

// migratedName has the migrations in it: whoever changes one gets a new template.
func migratedName(t testing.TB) string {
	t.Helper()
	script, err := migrations.SQL("")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(script))
	return "tandem_migrated_" + hex.EncodeToString(sum[:6])
}

func migrate(url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	m, err := migrations.Open(config, "")
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = m.Up(context.Background())
	return err
}
